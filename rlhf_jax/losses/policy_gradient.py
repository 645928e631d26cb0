"""Objectives that raise the probability of what did better than expected.

Log-probs in nats and advantages per token; losses [...] per token, not averaged
(a reduction of kernels.masking does that). Advantages and old log-probs are
targets made elsewhere; gradients are meant for `logps` alone.
"""

import chex
import jax.numpy as jnp

from rlhf_jax.kernels import importance


def policy_gradient(logps: chex.Array, advantages: chex.Array) -> chex.Array:
  """REINFORCE: −A log π [...], whose gradient is the policy gradient.

  On policy only: there is no ratio to correct for samples of another policy.

  Source: Williams 1992; Sutton and Barto 2018, eq. 13.11 with a baseline.
  """
  chex.assert_type([logps, advantages], float)
  chex.assert_equal_shape([logps, advantages])
  return -advantages * logps


def clipped_surrogate(
  logps: chex.Array,
  old_logps: chex.Array,
  advantages: chex.Array,
  *,
  clip_epsilon: chex.Numeric,
  clip_epsilon_high: chex.Numeric | None = None,
) -> chex.Array:
  """PPO's objective; one loss per token.

  −min(ρ A, clip(ρ, 1 − ε, 1 + ε_high) A) with ρ = exp(logps − old_logps).

  Args:
    logps: [...] under the policy that is trained.
    old_logps: [...] under the policy before this round of updates.
    advantages: [...] in reward units, or whitened.
    clip_epsilon: ε, how far below 1 the ratio still has a gradient.
    clip_epsilon_high: ε_high, how far above 1; ε by default. Larger than ε it
      lets improbable tokens rise (DAPO's clip-higher).

  Returns:
    [...] losses, not averaged.

  Source: Schulman et al. 2017, eq. 7; clip-higher, Yu et al. 2025, section 3.1.
  """
  unclipped, clipped = _surrogates(
    importance.ratios(logps, old_logps),
    advantages,
    clip_epsilon,
    clip_epsilon_high,
  )
  return -jnp.minimum(unclipped, clipped)


def dual_clipped_surrogate(
  logps: chex.Array,
  old_logps: chex.Array,
  advantages: chex.Array,
  *,
  clip_epsilon: chex.Numeric,
  dual_clip: chex.Numeric,
  clip_epsilon_high: chex.Numeric | None = None,
) -> chex.Array:
  """PPO's objective, bounded also where a bad token became far more likely.

  Where A < 0 the clipped objective falls without limit as ρ grows; here it is
  not let below c A. Elsewhere this is `clipped_surrogate`, whose arguments it
  shares.

  Args:
    logps: [...].
    old_logps: [...].
    advantages: [...].
    clip_epsilon: ε.
    dual_clip: c > 1 + ε; 3 in the paper.
    clip_epsilon_high: ε_high; ε by default.

  Returns:
    [...] losses, not averaged.

  Source: Ye et al. 2020, "Mastering Complex Control in MOBA Games", dual-clip.
  """
  losses = clipped_surrogate(
    logps,
    old_logps,
    advantages,
    clip_epsilon=clip_epsilon,
    clip_epsilon_high=clip_epsilon_high,
  )
  bounded = jnp.minimum(losses, -dual_clip * advantages)
  return jnp.where(advantages < 0.0, bounded, losses)


def clipped_sequence_surrogate(
  logps: chex.Array,
  old_logps: chex.Array,
  advantages: chex.Array,
  mask: chex.Array,
  *,
  clip_epsilon: chex.Numeric,
  clip_epsilon_high: chex.Numeric | None = None,
) -> chex.Array:
  """GSPO: the ratio, and so the clipping, is the whole response's.

  −min(s A, clip(s, 1 − ε, 1 + ε_high) A), where s is the geometric mean of the
  response's token ratios; spread over its tokens, so that with an advantage
  per response `masking.sequence_mean` makes it the paper's objective.

  Args:
    logps: [N, R] under the policy that is trained.
    old_logps: [N, R] under the policy before this round of updates.
    advantages: [N, R].
    mask: [N, R] bool, True on response tokens.
    clip_epsilon: ε, far smaller than PPO's: 3e-4 in the paper.
    clip_epsilon_high: ε_high; ε by default. 4e-4 in the paper.

  Returns:
    [N, R] losses, not averaged.

  Source: Zheng et al. 2025 (GSPO), the sequence-level objective.
  """
  unclipped, clipped = _surrogates(
    importance.sequence_ratios(logps, old_logps, mask),
    advantages,
    clip_epsilon,
    clip_epsilon_high,
  )
  return -jnp.minimum(unclipped, clipped)


def is_clipped(
  ratios: chex.Array,
  advantages: chex.Array,
  *,
  clip_epsilon: chex.Numeric,
  clip_epsilon_high: chex.Numeric | None = None,
) -> chex.Array:
  """Where clipping took the gradient: a metric, its mean the clip fraction.

  Args:
    ratios: [...] from kernels.importance, per token or per response.
    advantages: [...].
    clip_epsilon: ε, as the objective's.
    clip_epsilon_high: ε_high; ε by default.

  Returns:
    [...] bool.
  """
  unclipped, clipped = _surrogates(
    ratios, advantages, clip_epsilon, clip_epsilon_high
  )
  return clipped < unclipped


def _surrogates(ratios, advantages, clip_epsilon, clip_epsilon_high):
  """ρ A and clip(ρ) A, the two that PPO takes the lesser of."""
  chex.assert_type([ratios, advantages], float)
  chex.assert_equal_shape([ratios, advantages])
  high = clip_epsilon if clip_epsilon_high is None else clip_epsilon_high
  clipped_ratios = jnp.clip(ratios, 1.0 - clip_epsilon, 1.0 + high)
  return ratios * advantages, clipped_ratios * advantages
