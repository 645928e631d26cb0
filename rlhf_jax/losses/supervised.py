"""Losses towards a given target: a response, labels of attributes, returns."""

import chex
import jax.numpy as jnp

from rlhf_jax.types.rules import Bound


def negative_log_likelihood(logps: chex.Array) -> chex.Array:
  """−logps [...] of tokens or of whole responses, in nats, not averaged.

  A reduction of kernels.masking averages those of tokens.
  """
  chex.assert_type(logps, float)
  return -logps


def masked_squared_error(
  scores: chex.Array, labels: chex.Array, mask: chex.Array
) -> chex.Array:
  """(s − y)² of each labelled attribute, for reward models of M attributes.

  Args:
    scores: [..., M] predicted, one per attribute.
    labels: [..., M] the annotators', in the same units; anything, NaN included,
      where missing.
    mask: [..., M] bool, True where there is a label.

  Returns:
    [..., M] errors in score units squared, not averaged, 0 where masked: the
    published loss is their mean over the mask, in which a response with many
    labels weighs more.

  Source: Wang et al. 2023 (HelpSteer), the SteerLM reward model's released
  training code.
  """
  chex.assert_type([scores, labels, mask], [float, float, bool])
  chex.assert_equal_shape([scores, labels, mask])
  # Inside the square, so that a missing label has gradient 0 and not 0 · nan.
  return jnp.where(mask, scores - labels, 0.0) ** 2


def squared_error(values: chex.Array, returns: chex.Array) -> chex.Array:
  """½ (v − G)² [...] of a critic, in reward units squared, not averaged.

  Args:
    values: [...] the critic's, before each token.
    returns: [...] targets.
  """
  chex.assert_type([values, returns], float)
  chex.assert_equal_shape([values, returns])
  return 0.5 * (values - returns) ** 2


def clipped_squared_error(
  values: chex.Array,
  old_values: chex.Array,
  returns: chex.Array,
  *,
  clip_epsilon: Bound,
) -> chex.Array:
  """`squared_error` of a critic, clipped to stay near its old values.

  ½ max((v − G)², (v_clip − G)²) with v_clip = v_old + clip(v − v_old, ±ε).

  Args:
    values: [...] the critic's now.
    old_values: [...] the same before this round of updates.
    returns: [...] targets.
    clip_epsilon: ε, in reward units (not a ratio).

  Returns:
    [...] losses, not averaged. Where one is above `squared_error` it has no
    gradient.

  Source: Engstrom et al. 2020, section 3; the PPO of OpenAI Baselines.
  """
  chex.assert_equal_shape([values, old_values])
  moves = jnp.clip(values - old_values, -clip_epsilon, clip_epsilon)
  return jnp.maximum(
    squared_error(values, returns), squared_error(old_values + moves, returns)
  )
