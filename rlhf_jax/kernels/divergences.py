"""How far a policy is from its reference, estimated per token and exactly.

The estimators take the log-probs of tokens that the policy sampled and depend
only on d = logps − reference_logps. Their means estimate KL(policy ‖ reference)
(all but `absolute`). Anything clipped is a composition: jnp.clip(k1(…), …).

Source of k1, k2, k3: Schulman 2020, "Approximating KL divergence".
"""

import chex
import jax
import jax.numpy as jnp


def k1(logps: chex.Array, reference_logps: chex.Array) -> chex.Array:
  """d [...], in nats. Unbiased, of either sign: the one to put in a reward."""
  chex.assert_type([logps, reference_logps], float)
  chex.assert_equal_shape([logps, reference_logps])
  return logps - reference_logps


def k2(logps: chex.Array, reference_logps: chex.Array) -> chex.Array:
  """d²/2 [...]. Biased, but its gradient on policy is that of the KL."""
  return 0.5 * k1(logps, reference_logps) ** 2


def k3(logps: chex.Array, reference_logps: chex.Array) -> chex.Array:
  """exp(−d) − 1 + d [...]. Unbiased, never negative, of lower variance.

  Beyond −d = 80, where float32 is about to overflow, the exponential goes on as
  its tangent: value and gradient stay finite and of the right sign.
  """
  d = k1(logps, reference_logps)
  exponent = jnp.minimum(-d, 80.0)
  # expm1, since exp(−d) − 1 loses all digits of the small d that matter.
  beyond = jnp.exp(exponent) * (-d - exponent)
  return jnp.expm1(exponent) + beyond + d


def absolute(logps: chex.Array, reference_logps: chex.Array) -> chex.Array:
  """|d| [...], a penalty rather than an estimate (NeMo-Aligner's default)."""
  return jnp.abs(k1(logps, reference_logps))


def categorical_kl(
  logits: chex.Array, reference_logits: chex.Array
) -> chex.Array:
  """KL(policy ‖ reference) over the whole vocabulary; no sampling noise.

  Σᵥ p(v) (log p(v) − log q(v)), p and q the softmaxes of the logits.

  Args:
    logits: [..., V] the policy's; −inf where a token is ruled out.
    reference_logits: [..., V].

  Returns:
    [...] in nats; inf where the policy has mass that the reference rules out.
  """
  chex.assert_type([logits, reference_logits], float)
  chex.assert_equal_shape([logits, reference_logits])
  logps = jax.nn.log_softmax(logits.astype(jnp.float32))
  reference_logps = jax.nn.log_softmax(reference_logits.astype(jnp.float32))
  # Where p is 0 the term is 0, whatever the logs, and so is its gradient.
  differences = jnp.where(jnp.isneginf(logps), 0.0, k1(logps, reference_logps))
  return jnp.sum(jnp.exp(logps) * differences, axis=-1)
