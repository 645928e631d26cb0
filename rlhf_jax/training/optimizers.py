"""The optimizer of a stage, from a few numbers that a paper prints."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Annotated

import jax
import jax.numpy as jnp
import optax

from rlhf_jax.types.rules import (
  Bound,
  Count,
  NonNegative,
  Positive,
  Range,
  Share,
)
from rlhf_jax.types.values import checked

Schedule = Callable[[int], Callable[[jax.Array], jax.Array]]
FromZeroBelowOne = Annotated[float, Range(at_least=0.0, below=1.0)]

# Of a moment in bfloat16 a step must be able to take 2⁻⁸, or it never falls.
SLOWEST = 0.99


def constant(steps: int) -> Callable[[jax.Array], jax.Array]:
  """A learning rate that stays as it is after the warm-up."""
  del steps
  return optax.constant_schedule(1.0)


def linear(steps: int) -> Callable[[jax.Array], jax.Array]:
  """A learning rate that falls in a line to 0 at the last step."""
  return optax.linear_schedule(1.0, 0.0, steps)


def cosine(
  steps: int, *, final: Share = 0.0
) -> Callable[[jax.Array], jax.Array]:
  """A learning rate that falls in half a cosine to `final` of its peak."""
  return optax.cosine_decay_schedule(1.0, steps, alpha=final)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Adam:
  """AdamW with a warm-up, a decay and a clipped gradient.

  Attributes:
    learning_rate: the peak.
    warmup: share of the steps over which the rate rises from 0, in [0, 1).
    decay: what the rate does after the warm-up, as a share of its peak.
    b1, b2, eps: Adam's.
    weight_decay: decoupled, times the learning rate.
    max_grad_norm: the gradient is scaled down to this norm if it is longer.
    float32_master: of parameters in bfloat16 the optimizer keeps a copy in
      float32, which is what it moves; parameters are that copy, rounded.
    bfloat16_moments: both moments are kept in bfloat16, in half the memory.
  """

  learning_rate: Positive
  warmup: FromZeroBelowOne = 0.03
  decay: Schedule = constant
  b1: FromZeroBelowOne = 0.9
  b2: FromZeroBelowOne = 0.95
  eps: Positive = 1e-8
  weight_decay: NonNegative = 0.0
  max_grad_norm: Bound = 1.0
  float32_master: bool = False
  bfloat16_moments: bool = False

  def __post_init__(self):
    for name in ('b1', 'b2'):
      value = getattr(self, name)
      if self.bfloat16_moments and value > SLOWEST:
        raise ValueError(
          f'{name} is {value}, and a moment in bfloat16 cannot change by so '
          f'little a step; set it to {SLOWEST} or less, or leave '
          'bfloat16_moments out'
        )


@functools.lru_cache
def adam(config: Adam, steps: int) -> optax.GradientTransformation:
  """AdamW over `steps` optimizer steps.

  The peak learning rate lives in the optimizer's state, so that a sweep over it
  shares one compiled program (and can be vmapped).
  """
  warm = int(round(config.warmup * steps))
  shape = optax.join_schedules(
    [
      optax.linear_schedule(1.0 / (warm + 1), 1.0, warm),
      config.decay(max(1, steps - warm)),
    ],
    [warm],
  )
  rate = optax.inject_hyperparams(optax.scale_by_learning_rate)
  scaled = optax.scale_by_adam(config.b1, config.b2, config.eps)
  if config.bfloat16_moments:
    scaled = with_bfloat16_moments(scaled)
  moves = optax.chain(
    optax.clip_by_global_norm(config.max_grad_norm),
    scaled,
    optax.add_decayed_weights(config.weight_decay),
    optax.scale_by_schedule(shape),
    rate(learning_rate=config.learning_rate),
  )
  return with_master(moves) if config.float32_master else moves


def with_bfloat16_moments(
  adam: optax.GradientTransformation,
) -> optax.GradientTransformation:
  """`optax.scale_by_adam` that keeps both moments in bfloat16.

  They are widened for a step, which is computed as before, and rounded after.
  """

  def stored(state, dtype):
    mu, nu = optax.tree.cast((state.mu, state.nu), dtype)
    return state._replace(mu=mu, nu=nu)

  def init(params):
    return stored(adam.init(params), jnp.bfloat16)

  def update(grads, state, params=None):
    updates, state = adam.update(grads, stored(state, jnp.float32), params)
    return updates, stored(state, jnp.bfloat16)

  return optax.GradientTransformation(init, update)


def with_master(
  inner: optax.GradientTransformation,
) -> optax.GradientTransformation:
  """An optimizer that moves a float32 copy of the parameters it is given.

  Its state is {'master': the copy, 'inner': state}; its updates are float32,
  from the rounded parameters to where the copy is now.

  Source: Micikevicius et al. 2018, section 3.1.
  """

  widen = functools.partial(optax.tree.cast, dtype=jnp.float32)

  def init(params):
    # Never the same buffer, which a step would be given twice.
    master = jax.tree.map(lambda x: jnp.array(x, jnp.float32), params)
    return {'master': master, 'inner': inner.init(master)}

  def update(grads, state, params):
    updates, after = inner.update(widen(grads), state['inner'], state['master'])
    master = optax.apply_updates(state['master'], updates)
    moves = jax.tree.map(jnp.subtract, master, widen(params))
    return moves, {'master': master, 'inner': after}

  return optax.GradientTransformation(init, update)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Steps:
  """How long a stage trains one set of parameters, and on how much at a time.

  Attributes:
    steps: updates.
    batch_size: examples in a batch.
    optimizer: of what is trained.
  """

  steps: Count
  batch_size: Count
  optimizer: Adam

  def make_optimizer(self) -> optax.GradientTransformation:
    """The optimizer over all steps."""
    return adam(self.optimizer, self.steps)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Once:
  """One step without an optimizer: the method computes what it returns.

  Attributes:
    batch_size: examples that it reads.
    steps: 1; there is nothing to repeat.
  """

  batch_size: Count = 512
  steps: Count = 1

  def __post_init__(self):
    if self.steps != 1:
      raise ValueError(
        f'steps is {self.steps}; this stage is done in one, so leave it 1'
      )

  def make_optimizer(self) -> optax.GradientTransformation:
    """The identity: no gradients are used."""
    return optax.identity()


def by_role(
  optimizers: Mapping[str, optax.GradientTransformation],
) -> optax.GradientTransformation:
  """An optimizer for each top-level entry of the parameters: policy, critic."""
  return optax.partition(
    optimizers, lambda params: {role: role for role in params}
  )
