"""Ratios of one policy's probabilities to another's, and importance weights.

Objectives differentiate `ratios`, `sequence_ratios`, `response_ratios` and the
KL penalty `reweighted_k3`. The weights correct for a sampler whose log-probs
differ from the trainer's (another program, another precision, a policy some
steps old): they multiply losses, and no gradient flows through them.

Arrays are log-probs of the sampled tokens, in nats: `logps` under the policy
that is trained, `old_logps` under the policy that sampled. In a weight π / μ,
`logps` are the trainer's before the update (π), and `sampler_logps` those of
the sampler's own program (μ). A mask [N, R] is True on response tokens.
"""

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import divergences, masking
from rlhf_jax.types.rules import Bound, NonNegative, Share


def ratios(logps: chex.Array, old_logps: chex.Array) -> chex.Array:
  """exp(logps − old_logps) [...] of each token.

  The exponent is held at 80, short of overflow in float32: a token with
  advantage 0 then adds 0 to the loss and its gradient, and not 0 · inf.
  """
  chex.assert_type([logps, old_logps], float)
  chex.assert_equal_shape([logps, old_logps])
  return jnp.exp(jnp.minimum(logps - old_logps, 80.0))


def relative_log_ratios(
  logps: chex.Array, reference_logps: chex.Array, *, share: Share
) -> chex.Array:
  """log π − log(a π + (1 − a) π_ref) [...], of the relative density ratio.

  At most −log a, however much more the policy says something than the
  reference. Only the difference of the log-probs is exponentiated, so that
  whole responses, which no float32 could hold as probabilities, keep theirs.

  Args:
    logps: log π [...] in nats, of tokens or of whole responses.
    reference_logps: log π_ref [...].
    share: a, of π in what it is compared with; 0 leaves the plain log-ratio.

  Returns:
    [...] in nats.

  Source: Yamada et al. 2011, "Relative Density-Ratio Estimation for Robust
  Distribution Comparison".
  """
  chex.assert_type([logps, reference_logps], float)
  chex.assert_equal_shape([logps, reference_logps])
  share = jnp.asarray(share, logps.dtype)
  other = jnp.log1p(-share) - (logps - reference_logps)
  return -jnp.logaddexp(jnp.log(share), other)


def sequence_logps(logps: chex.Array, mask: chex.Array) -> chex.Array:
  """The mean log-prob of a response's tokens, at each of its tokens.

  Given these in place of token log-probs, an objective of token ratios becomes
  one of `sequence_ratios`.

  Returns:
    [N, R], each row one number repeated; 0 in a row without tokens.
  """
  chex.assert_rank(logps, 2)
  mean = masking.masked_mean(logps, mask, -1, keepdims=True)
  return jnp.broadcast_to(mean, logps.shape)


def sequence_ratios(
  logps: chex.Array, old_logps: chex.Array, mask: chex.Array
) -> chex.Array:
  """The geometric mean of a response's token ratios, at each of its tokens.

  (π(y) / π_old(y))^(1/|y|).

  Returns:
    [N, R], each row one number repeated; 1 in a row without tokens.

  Source: Zheng et al. 2025 (GSPO), the definition of sᵢ(θ).
  """
  return ratios(sequence_logps(logps, mask), sequence_logps(old_logps, mask))


def response_ratios(
  logps: chex.Array, old_logps: chex.Array, mask: chex.Array
) -> chex.Array:
  """The product of a response's token ratios, at each of its tokens.

  π(y) / π_old(y), the ratio of a response taken as one action.

  Returns:
    [N, R], each row one number repeated; 1 in a row without tokens.
  """
  chex.assert_rank(logps, 2)
  moved = divergences.k1(logps, old_logps)
  total = masking.masked_sum(moved, mask, -1, keepdims=True)
  product = ratios(total, jnp.zeros_like(total))
  return jnp.broadcast_to(product, logps.shape)


def reweighted_k3(
  logps: chex.Array, old_logps: chex.Array, reference_logps: chex.Array
) -> chex.Array:
  """ρ k3 [...]: the KL to the reference from samples of an older policy.

  The value of `divergences.k3` is unbiased for samples of the policy itself,
  its gradient is not. Times the ratio ρ = exp(logps − old_logps), both are, for
  samples of the old policy.

  Returns:
    [...] in nats.

  Source: DeepSeek-AI 2025 (DeepSeek-V3.2), the unbiased KL estimate.
  """
  return ratios(logps, old_logps) * divergences.k3(logps, reference_logps)


def truncated_weights(
  logps: chex.Array,
  sampler_logps: chex.Array,
  *,
  low: NonNegative = 0.0,
  high: Bound,
) -> chex.Array:
  """Token weights π / μ clipped to [low, high]: bounded variance, some bias.

  Args:
    low: smallest weight.
    high: largest weight; 2 is common.

  Returns:
    [...] weights.

  Source: Yao et al. 2025, truncated importance sampling.
  """
  weights = jnp.clip(ratios(logps, sampler_logps), low, high)
  return jax.lax.stop_gradient(weights)


def masked_weights(
  logps: chex.Array, sampler_logps: chex.Array, *, low: NonNegative, high: Bound
) -> chex.Array:
  """Token weights π / μ, 0 for a token whose weight is not in [low, high].

  Arguments and result as in `truncated_weights`, which keeps such a token at
  the bound.

  Source: Ling team 2025, IcePop.
  """
  weights = ratios(logps, sampler_logps)
  kept = (weights >= low) & (weights <= high)
  return jax.lax.stop_gradient(jnp.where(kept, weights, 0.0))


def sequence_masked_weights(
  logps: chex.Array,
  sampler_logps: chex.Array,
  mask: chex.Array,
  *,
  low: NonNegative,
  high: Bound,
) -> chex.Array:
  """Token weights π / μ, 0 throughout a response that is too far off.

  That is one whose geometric mean of the weights is not in [low, high].

  Args:
    low: smallest geometric mean kept, a little under 1.
    high: largest geometric mean kept, a little over 1.

  Returns:
    [N, R] weights, not bounded one by one.

  Source: OpenRLHF's seq-mask-tis; Liu, Li et al. 2025 for the reasons.
  """
  means = sequence_ratios(logps, sampler_logps, mask)
  kept = (means >= low) & (means <= high)
  weights = jnp.where(kept, ratios(logps, sampler_logps), 0.0)
  return jax.lax.stop_gradient(weights)
