"""REINFORCE, and REINFORCE of samples that another policy drew: −w A log π.

The weights are constants. So no token loses its gradient to a clip: one that
moved far counts less, or no more than the bound, but it counts.
"""

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import divergences, importance, masking
from rlhf_jax.types.rules import Bound, NonNegative


def policy_gradient(logps: chex.Array, advantages: chex.Array) -> chex.Array:
  """REINFORCE: −A log π [...], whose gradient is the policy gradient.

  On policy only: there is no ratio to correct for samples of another policy.

  Source: Williams 1992; Sutton and Barto 2018, eq. 13.11 with a baseline.
  """
  chex.assert_type([logps, advantages], float)
  chex.assert_equal_shape([logps, advantages])
  return -advantages * logps


def cispo(
  logps: chex.Array,
  old_logps: chex.Array,
  advantages: chex.Array,
  *,
  max_weight: Bound,
) -> chex.Array:
  """Clipped importance weights: −sg(min(ρ, c)) A log π; one loss per token.

  Args:
    logps: [...] under the policy that is trained.
    old_logps: [...] under the policy before this round of updates.
    advantages: [...].
    max_weight: c, the largest weight itself and not its distance from 1; 5 in
      ScaleRL.

  Returns:
    [...] losses, not averaged.

  Source: MiniMax 2025 (MiniMax-M1), whose runs had no lower bound either.
  """
  weights = importance.truncated_weights(logps, old_logps, high=max_weight)
  return weights * policy_gradient(logps, advantages)


def vespo(
  logps: chex.Array,
  old_logps: chex.Array,
  advantages: chex.Array,
  mask: chex.Array,
  *,
  power_positive: NonNegative = 2.0,
  decay_positive: NonNegative = 3.0,
  power_negative: NonNegative = 3.0,
  decay_negative: NonNegative = 2.0,
) -> chex.Array:
  """Responses weighted by a Gamma curve of their ratio; one loss per token.

  −sg(φ(w)) A log π with φ(w) = wᵏ exp(λ (1 − w)), where w is the ratio of the
  whole response's probabilities: φ(1) = 1, and responses that are now much
  likelier or less likely fade away.

  Args:
    logps: [N, R] under the policy that is trained.
    old_logps: [N, R] under the policy before this round of updates.
    advantages: [N, R].
    mask: [N, R] bool, True on response tokens.
    power_positive: k where A ≥ 0; the paper's values by default.
    decay_positive: λ where A ≥ 0.
    power_negative: k where A < 0.
    decay_negative: λ where A < 0.

  Returns:
    [N, R] losses, not averaged.

  Source: VESPO, arXiv 2602.10693, section 3.4.
  """
  chex.assert_rank(logps, 2)
  chex.assert_equal_shape([logps, advantages])
  moved = divergences.k1(logps, old_logps)
  log_w = masking.masked_sum(moved, mask, -1, keepdims=True)
  w = importance.response_ratios(logps, old_logps, mask)
  power = jnp.where(advantages < 0.0, power_negative, power_positive)
  decay = jnp.where(advantages < 0.0, decay_negative, decay_positive)
  weights = jnp.exp(power * log_w + decay * (1.0 - w))
  return jax.lax.stop_gradient(weights) * policy_gradient(logps, advantages)
