"""What training carries: parameters, state, and means that can be added."""

from collections.abc import Mapping
from typing import Any

import chex
import flax.struct
import jax.numpy as jnp

Params = chex.ArrayTree


@flax.struct.dataclass
class Mean:
  """A mean kept as its sum and its weight, so that parts can be added.

  Attributes:
    total: [] weighted sum.
    weight: [] sum of the weights, of the very mask that made `total`.
  """

  total: chex.Array
  weight: chex.Array

  @classmethod
  def of(cls, values: chex.Array, weight: chex.Array | None = None) -> 'Mean':
    """Sums [...] values under [...] weights (or a bool mask; all by default).

    Values of weight 0 may be anything, NaN included: they do not count.
    """
    values = jnp.asarray(values, jnp.float32)
    if weight is None:
      weight = jnp.ones_like(values)
    chex.assert_equal_shape([values, weight])
    weight = weight.astype(jnp.float32)
    counted = jnp.where(weight != 0.0, values, 0.0)
    return cls(jnp.sum(counted * weight), jnp.sum(weight))

  @property
  def value(self) -> chex.Array:
    """The mean; 0 where nothing was counted."""
    empty = self.weight == 0.0
    return jnp.where(
      empty, 0.0, self.total / jnp.where(empty, 1.0, self.weight)
    )

  def __add__(self, other: 'Mean') -> 'Mean':
    return Mean(self.total + other.total, self.weight + other.weight)


Terms = Mapping[str, tuple[chex.Numeric, Mean]]
Metrics = Mapping[str, Mean]


@flax.struct.dataclass
class TrainState:
  """What a run carries on from step to step; a checkpoint is this.

  Attributes:
    step: [] int32, how many updates are done.
    params: what the optimizer moves.
    opt_state: the optimizer's own.
    extra: what a method carries on besides, by the name of its config's field
      (an adaptive coefficient, a running mean); the config says where it began.
  """

  step: chex.Array
  params: Params
  opt_state: Any
  extra: Mapping[str, chex.Array] = flax.struct.field(default_factory=dict)
