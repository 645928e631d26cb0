"""Surrogates: the ratio to the policy that sampled, times the advantage.

Each limits how far a token's ratio is moved by one batch; its gradient before
the first step is the policy gradient.
"""

import math
from typing import Annotated

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import importance
from rlhf_jax.types.rules import Bound, Positive, Range


def clipped_surrogate(
  logps: chex.Array,
  old_logps: chex.Array,
  advantages: chex.Array,
  *,
  clip_epsilon: Bound,
  clip_epsilon_high: Bound | None = None,
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
  ratios = importance.ratios(logps, old_logps)
  return -jnp.minimum(
    *surrogates(ratios, advantages, clip_epsilon, clip_epsilon_high)
  )


def dual_clipped_surrogate(
  logps: chex.Array,
  old_logps: chex.Array,
  advantages: chex.Array,
  *,
  clip_epsilon: Bound,
  dual_clip: Annotated[chex.Numeric, Range(above=1.0, at_most=math.inf)],
  clip_epsilon_high: Bound | None = None,
) -> chex.Array:
  """PPO's objective, bounded also where a bad token became far more likely.

  Where A < 0 the clipped objective falls without limit as ρ grows; here it is
  not let below c A. Elsewhere this is `clipped_surrogate`, whose arguments it
  shares. The two-sided clipping of INTELLECT-2, min(ρ, δ) in place of ρ, is
  the same with c = δ.

  Args:
    logps: [...].
    old_logps: [...].
    advantages: [...].
    clip_epsilon: ε.
    dual_clip: c > 1 + ε; 3 in the paper, 4 in INTELLECT-2.
    clip_epsilon_high: ε_high; ε by default.

  Returns:
    [...] losses, not averaged.

  Source: Ye et al. 2020, "Mastering Complex Control in MOBA Games", dual-clip;
  Prime Intellect 2025 (INTELLECT-2), section 4.1.
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


def sapo(
  logps: chex.Array,
  old_logps: chex.Array,
  advantages: chex.Array,
  *,
  temperature_positive: Positive = 1.0,
  temperature_negative: Positive = 1.05,
) -> chex.Array:
  """Soft adaptive policy optimisation: a sigmoid instead of a clip.

  −(4 / τ) σ(τ (ρ − 1)) A. The gradient in ρ is −A at 1 and fades on both sides,
  the faster the larger τ, but is never cut off.

  Args:
    logps: [...] under the policy that is trained.
    old_logps: [...] under the policy before this round of updates.
    advantages: [...].
    temperature_positive: τ where A > 0; the paper's value by default.
    temperature_negative: τ elsewhere; larger, as to lower one token raises all
      others, which is less stable.

  Returns:
    [...] losses, not averaged.

  Source: Gao et al. 2025 (SAPO).
  """
  ratios = importance.ratios(logps, old_logps)
  chex.assert_equal_shape([ratios, advantages])
  tau = jnp.where(advantages > 0.0, temperature_positive, temperature_negative)
  return -4.0 / tau * jax.nn.sigmoid(tau * (ratios - 1.0)) * advantages


def is_clipped(
  ratios: chex.Array,
  advantages: chex.Array,
  *,
  clip_epsilon: Bound,
  clip_epsilon_high: Bound | None = None,
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
  unclipped, clipped = surrogates(
    ratios, advantages, clip_epsilon, clip_epsilon_high
  )
  return clipped < unclipped


def surrogates(ratios, advantages, clip_epsilon, clip_epsilon_high):
  """ρ A and clip(ρ) A, the two that PPO takes the lesser of."""
  chex.assert_type([ratios, advantages], float)
  chex.assert_equal_shape([ratios, advantages])
  high = clip_epsilon if clip_epsilon_high is None else clip_epsilon_high
  clipped_ratios = jnp.clip(ratios, 1.0 - clip_epsilon, 1.0 + high)
  return ratios * advantages, clipped_ratios * advantages
