"""Advantages of K responses to one prompt, with the group as the baseline.

A group has scores [..., K] in reward units and a mask [..., K], True on those
that could be scored. A score under False may be anything, NaN included: it
enters no baseline, and its advantage is 0. All advantages are targets: no
gradient flows through them.

The best score of the group is subtracted first. So a group of equal scores
gives exactly 0, and not rounding errors divided by each other, and a large
offset that a prompt's scores share costs no digits.
"""

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import masking
from rlhf_jax.types.rules import Natural, Positive


def group_mean(scores: chex.Array, mask: chex.Array) -> chex.Array:
  """Score less the mean score of the group, [..., K].

  A sample is in its own baseline, which shrinks the expected gradient by
  (K − 1) / K; `leave_one_out` does not.

  Returns:
    [..., K] advantages in reward units, 0 where masked.

  Source: Liu et al. 2025 (Dr. GRPO), which drops GRPO's division.
  """
  x = _below_best(scores, mask)
  mean = masking.masked_mean(x, mask, -1, keepdims=True)
  return jnp.where(mask, x - mean, 0.0)


def leave_one_out(scores: chex.Array, mask: chex.Array) -> chex.Array:
  """Score less the mean of the group's other scores, [..., K].

  rᵢ − Σ_{j≠i} rⱼ / (n − 1), over the n that count. The baseline does not
  depend on the sample itself, so the gradient stays unbiased.

  Returns:
    [..., K] advantages in reward units, 0 where masked and for a sample that
    has no other to be compared with.

  Source: Ahmadian et al. 2024 (RLOO); Kool et al. 2019.
  """
  x = _below_best(scores, mask)
  others = masking.masked_sum(mask, mask, -1, keepdims=True) - 1.0
  rest = masking.masked_sum(x, mask, -1, keepdims=True) - x
  return jnp.where(mask, x - rest / jnp.maximum(others, 1.0), 0.0)


def group_standardised(
  scores: chex.Array,
  mask: chex.Array,
  *,
  epsilon: Positive = 1e-4,
  ddof: Natural = 1,
) -> chex.Array:
  """Score less the group's mean, over the group's standard deviation.

  (rᵢ − mean) / (σ + ε): every prompt weighs alike, however far apart the
  scores of its responses are.

  Args:
    epsilon: ε, > 0; 1e-4 in TRL, 1e-6 in Tunix, 1e-9 in OpenRLHF.
    ddof: 1 for the unbiased variance, as the three have it; 0 for the biased.

  Returns:
    [..., K] advantages without a unit, 0 where masked.

  Source: Shao et al. 2024 (GRPO).
  """
  x = _below_best(scores, mask)
  variance = masking.masked_var(x, mask, -1, ddof=ddof, keepdims=True)
  return group_mean(scores, mask) / (jnp.sqrt(variance) + epsilon)


def batch_scaled(
  scores: chex.Array,
  mask: chex.Array,
  *,
  epsilon: Positive = 1e-4,
  ddof: Natural = 1,
) -> chex.Array:
  """Score less the group's mean, over the whole batch's standard deviation.

  `group_standardised` with σ over all scores of the batch: a prompt whose
  responses hardly differ then has small advantages.

  Args:
    epsilon: ε, > 0.
    ddof: 1 for the unbiased variance, 0 for the biased one.

  Returns:
    [..., K] advantages without a unit, 0 where masked.

  Source: TRL's scale_rewards="batch"; Khatri et al. 2025 (ScaleRL).
  """
  scores = jax.lax.stop_gradient(scores)
  variance = masking.masked_var(scores, mask, ddof=ddof)
  return group_mean(scores, mask) / (jnp.sqrt(variance) + epsilon)


def batch_standardised(
  advantages: chex.Array,
  mask: chex.Array,
  *,
  epsilon: Positive = 1e-4,
  ddof: Natural = 1,
) -> chex.Array:
  """Advantages of mean 0 and deviation 1 over the whole batch.

  (A − mean) / (σ + ε): RLOO's normalisation after `leave_one_out`, and GDPO's
  (arXiv 2601.05242) after a weighted sum of `group_standardised` over rewards.

  Args:
    advantages: [..., K] anything where masked.
    mask: [..., K] bool; after `leave_one_out` those that are `comparable`.
    epsilon: ε, > 0.
    ddof: 1 for the unbiased variance, 0 for the biased one.

  Returns:
    [..., K] advantages without a unit, 0 where masked.
  """
  advantages = jax.lax.stop_gradient(jnp.where(mask, advantages, 0.0))
  mean = masking.masked_mean(advantages, mask)
  deviation = jnp.sqrt(masking.masked_var(advantages, mask, ddof=ddof))
  return jnp.where(mask, (advantages - mean) / (deviation + epsilon), 0.0)


def comparable(mask: chex.Array) -> chex.Array:
  """[..., K] bool, True on scores whose group has another one.

  The mask for `batch_standardised` where a group may have a single score, whose
  advantage is 0 and no evidence of the spread.
  """
  chex.assert_type(mask, bool)
  return mask & (jnp.sum(mask, axis=-1, keepdims=True) > 1)


def informative(scores: chex.Array, mask: chex.Array) -> chex.Array:
  """[...] bool, the groups whose scores differ: others have no gradient.

  Dynamic sampling draws until a batch is full of such groups.

  Returns:
    [...] bool; False where fewer than two could be scored.

  Source: Yu et al. 2025 (DAPO), section 3.2.
  """
  return jnp.any(_below_best(scores, mask) < 0.0, axis=-1)


def _below_best(scores, mask):
  """Scores less the group's best, 0 where masked; a constant."""
  chex.assert_type([scores, mask], [float, bool])
  chex.assert_equal_shape([scores, mask])
  scores = jax.lax.stop_gradient(scores.astype(jnp.float32))
  lowest = jnp.where(mask, scores, -jnp.inf)
  best = jnp.max(lowest, axis=-1, keepdims=True)
  return jnp.where(mask, scores - best, 0.0)
