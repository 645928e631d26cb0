"""What a stage trains and what it keeps, before its first update and later on.

A stage that begins draws its parameters, or takes them from where it starts; of
one that goes on nothing is drawn: its state is read straight into its shards.
"""

import functools
from collections.abc import Callable, Container

import jax
import jax.numpy as jnp
import optax

from rlhf_jax import sharding
from rlhf_jax.experiment.trained import Trained
from rlhf_jax.models import PARTITION_RULES
from rlhf_jax.stages import playing
from rlhf_jax.training import state as training
from rlhf_jax.training.checkpoints import Checkpoints
from rlhf_jax.training.learner import first_state
from rlhf_jax.types import Params, TrainState


def begun(
  trained: Trained,
  name: str,
  optimizer: optax.GradientTransformation,
  key: jax.Array,
  *,
  saved: Checkpoints,
  unread: Container[str] = (),
) -> tuple[TrainState, dict[str, Params]]:
  """The state of a stage that begins or goes on, and what it keeps as it is.

  Args:
    trained: of the experiment.
    name: of the stage.
    optimizer: the stage's.
    key: draws what it begins with.
    saved: its checkpoints; it goes on from the newest.
    unread: as of `frozen_params`.
  """
  with trained.while_needed():  # What one starts from goes at its end.
    state = saved.restore(state_shapes(trained, name, optimizer))
    own = functools.partial(initial_params, trained, name, key)
    if state is None:
      state = initial_state(trained, name, optimizer, key)
      own = functools.partial(jax.tree.map, jnp.copy, state.params)
    return state, frozen_params(trained, name, own, unread)


def initial_state(
  trained: Trained,
  name: str,
  optimizer: optax.GradientTransformation,
  key: jax.Array,
) -> TrainState:
  """The state of a stage before the first update, each array in its shards."""
  create, start = creator(trained, name, optimizer)
  return sharding.init_sharded(
    create, PARTITION_RULES, trained.mesh, key, start
  )


def creator(
  trained: Trained, name: str, optimizer: optax.GradientTransformation
) -> tuple[Callable[..., TrainState], dict[str, Params]]:
  """(key, start) -> a stage's state before the first update; and its start."""
  start = trained.start(name)
  init = trained.trainable(name, start)
  first = _first(trained.stages[name], optimizer)
  return lambda key, start: first(init(key, start)), start


def state_shapes(
  trained: Trained, name: str, optimizer: optax.GradientTransformation
) -> TrainState:
  """Shapes of a stage's state, each with its shards; nothing is made."""
  first = _first(trained.stages[name], optimizer)
  return trained.placed(jax.eval_shape(first, trained.abstract_trained(name)))


def _first(stage, optimizer):
  """Trainable params -> the TrainState before the first update."""
  return lambda params: first_state(params, optimizer, stage.config)


def initial_params(trained: Trained, name: str, key: jax.Array) -> Params:
  """What a stage trains, as its `initial_state` has it, without the rest."""
  start = trained.start(name)
  init = trained.trainable(name, start)
  return sharding.init_sharded(init, PARTITION_RULES, trained.mesh, key, start)


def frozen_params(
  trained: Trained,
  name: str,
  own: Callable[[], Params],
  unread: Container[str] = (),
) -> dict[str, Params]:
  """The parameters that a stage keeps as they are, by role.

  'base' is what adapters adapt.

  Args:
    trained: of the experiment.
    name: of the stage.
    own: what it trains as it was at the start, in arrays that no update
      overwrites: it plays the roles whose source is None, as DPO's reference
      where that starts afresh. It is asked only where there is such a role.
    unread: roles that the stage reads nothing of; they are left out.
  """
  stage = trained.stages[name]
  frozen = trained.frozen(stage, unread) | trained.base(name)
  played = [
    role
    for role, source in stage.frozen.items()
    if source is None and role not in unread
  ]
  if played:
    whole = training.whole(own(), frozen)
    for role in played:
      params = playing(whole, role)
      if stage.lora is None:
        params = trained.computed(params, name, role)
      frozen[role] = params
  return frozen
