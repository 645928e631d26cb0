"""One score from those of several reward models.

A reward model is defined up to a shift of each prompt's scores, and two need
not have the same scale. A member whose scores lie lower or spread wider than
the others' decides `worst` alone and dominates the variance. So bring members
to one scale first: by training alike (with centering), or by `standardised`,
with each member's mean and deviation on the same responses.

All take scores [E, ...] of E reward models, in reward units, and return [...].

Source: Coste et al. 2023, "Reward Model Ensembles Help Mitigate
Overoptimization", §3.
"""

from collections.abc import Callable, Sequence

import chex
import jax.numpy as jnp

from rlhf_jax.types.rules import NonNegative


def mean(scores: chex.Array) -> chex.Array:
  """The members' mean.

  Source: Coste et al. 2023, eq. 3.
  """
  _check(scores)
  return jnp.mean(scores, axis=0)


def worst(scores: chex.Array) -> chex.Array:
  """The lowest of the members' scores.

  Source: Coste et al. 2023, eq. 4 (worst-case optimisation).
  """
  _check(scores)
  return jnp.min(scores, axis=0)


def variance_penalised(scores: chex.Array, *, coef: NonNegative) -> chex.Array:
  """The members' mean, less a multiple of their variance.

  m − λ · (1 / E) Σₑ (rₑ − m)² with the mean m: the biased variance.

  Args:
    coef: λ, 0 or more, in 1 / reward units: twice the scale of the scores asks
      for half of it.

  Source: Coste et al. 2023, eq. 5 (uncertainty-weighted optimisation).
  """
  _check(scores)
  return jnp.mean(scores, axis=0) - coef * jnp.var(scores, axis=0)


def standardised(
  scores: chex.Array,
  *,
  combine: Callable[[chex.Array], chex.Array],
  means: Sequence[float],
  deviations: Sequence[float],
) -> chex.Array:
  """Combines scores of members of different scales: (rₑ − meanₑ) / deviationₑ.

  Args:
    scores: [E, ...], each model's in units of its own.
    combine: of the standardised scores, such as `worst`, its options bound.
    means: E means of the members' scores of one set of responses.
    deviations: E standard deviations of the same, > 0.

  Returns:
    [...] in deviations above the mean of that set.
  """
  _check(scores)
  chex.assert_shape(
    [jnp.asarray(means), jnp.asarray(deviations)], scores.shape[:1]
  )
  shape = (-1,) + (1,) * (scores.ndim - 1)
  shift, scale = (
    jnp.asarray(numbers, scores.dtype).reshape(shape)
    for numbers in (means, deviations)
  )
  return combine((scores - shift) / scale)


def _check(scores):
  chex.assert_type(scores, float)
  if scores.ndim == 0 or scores.shape[0] == 0:
    raise ValueError(
      f'an ensemble has members along the first axis; scores: {scores.shape}'
    )
