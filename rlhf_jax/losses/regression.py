"""Regression of scores on labels, for reward models of several attributes."""

import chex
import jax.numpy as jnp


def masked_squared_error(
  scores: chex.Array, labels: chex.Array, mask: chex.Array
) -> chex.Array:
  """(s − y)² of each attribute that was labelled.

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
