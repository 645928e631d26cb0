"""A method with its config, its models and its optimizer, ready to call."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import chex
import jax
import optax

from rlhf_jax.training import state as training
from rlhf_jax.training.compile import jitted
from rlhf_jax.types import Metrics, Models, Params, TrainState


class Learner(NamedTuple):
  """What a method does to parameters, as functions of arrays alone.

  Attributes:
    init: (key, start={}) -> TrainState before the first update; `start` holds,
      by role, parameters that it begins with in place of fresh ones.
    update: (state, frozen, batch, key) -> state, metrics; compiled.
    collect: (state, frozen, prompts, key) -> batch, metrics, on the host; None
      of methods that learn from given data alone.
  """

  init: Callable[..., TrainState]
  update: Callable[..., tuple[TrainState, Metrics]]
  collect: Callable[..., tuple[Any, Metrics]] | None = None

  def step(
    self,
    state: TrainState,
    frozen: Mapping[str, Params],
    batch: Any,
    key: chex.PRNGKey,
  ) -> tuple[TrainState, Metrics]:
    """One update, from a batch or, with `collect`, from prompts to answer."""
    if self.collect is None:
      return self.update(state, frozen, batch, key)
    collect_key, key = jax.random.split(key)
    batch, collected = self.collect(state, frozen, batch, collect_key)
    state, learnt = self.update(state, frozen, batch, key)
    return state, {**collected, **learnt}


def learner_of(
  method: Any,
  config: Any,
  models: Models,
  *,
  optimizer: optax.GradientTransformation | None = None,
  donate: bool = False,
) -> Learner:
  """A method, bound to what it computes with.

  Args:
    method: its `init`, `update` and `collect`: a method as data, as
      `methods.dpo.stages`, or a Stage.
    config: the method's.
    models: by role, as of `experiment.models_of`.
    optimizer: the config's where None.
    donate: whether an update may overwrite the state that it is given. A
      reference that is the very parameters at the start would be lost.
  """
  optimizer = optimizer or config.make_optimizer()
  bound = {'models': models, 'config': config}
  update = jitted(method.update, donate=(0,) if donate else ())

  def init(key, start=None):
    params = method.init(key, start or {}, **bound)
    return first_state(params, optimizer, config)

  def collect(state, frozen, prompts, key):
    whole = state.replace(params=training.whole(state.params, frozen))
    return method.collect(whole, frozen, prompts, key, **bound)

  return Learner(
    init=init,
    update=functools.partial(update, optimizer=optimizer, **bound),
    collect=None if method.collect is None else collect,
  )


def first_state(
  params: Params, optimizer: optax.GradientTransformation, config: Any
) -> TrainState:
  """The state before the first update, with what the config adapts as it goes.

  Args:
    params: what is trained, by role.
    optimizer: moves them.
    config: the method's.
  """
  return training.create(
    params, optimizer, getattr(config, 'initial_extra', dict)()
  )
