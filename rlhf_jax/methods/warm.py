"""WARM: one reward model, whose weights are the mean of several.

The members learn from the same pairs in orders and at rates of their own. They
start from one reward model, not from one trunk alone: heads that start apart
read a trunk's channels in ways of their own, and their mean reads nothing. So a
`reward_head` on the SFT policy's trunk comes first, and each member is a
`reward_model` with start={'reward': 'reward_head'}. Scoring costs as much as by
one; an `Ensemble` of the members costs as many times more.

Source: Ramé et al. 2024 (WARM, arXiv 2401.12187).
"""

import dataclasses
from collections.abc import Mapping

import chex
import jax
import jax.numpy as jnp
import optax

from rlhf_jax.learners.reward import comparisons
from rlhf_jax.stages import Stage
from rlhf_jax.training import optimizers
from rlhf_jax.training.state import whole
from rlhf_jax.types import (
  Comparison,
  Comparisons,
  Mean,
  Metrics,
  Models,
  Params,
  TrainState,
)
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(optimizers.Once):
  """On how many pairs the mean is measured, once."""


def init(
  key: chex.PRNGKey,
  start: Mapping[str, Params],
  *,
  models: Models,
  config: Config,
) -> Params:
  """{'reward'}: the mean of the reward models in `start`, whatever their role.

  Raises:
    ValueError: they are of different sizes.
  """
  del key, models, config
  members = list(start.values())
  if len({_shapes(member) for member in members}) > 1:
    raise ValueError(
      'the reward models whose weights are averaged are of different sizes; '
      'start all of them from one reward model'
    )
  return {'reward': jax.tree.map(_mean, *members)}


def measure(
  state: TrainState,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  optimizer: optax.GradientTransformation,
  config: Config,
) -> tuple[TrainState, Metrics]:
  """How often the mean is right on Comparisons [B, 2, T]; it stays as it is."""
  del key, optimizer, config
  params = whole(state.params, frozen)
  chosen, rejected = comparisons.scored(params, batch, models=models).T
  right = (chosen > rejected) + 0.5 * (chosen == rejected)
  metrics = {'accuracy': Mean.of(right, batch.pair_weight)}
  return state.replace(step=state.step + 1), metrics


def stages(
  config: Config,
  *,
  trained: Mapping[str, Stage],
  data: str = 'preferences',
  name: str = 'warm',
) -> dict[str, Stage]:
  """`trained`, then {name}: the mean of all that these train.

  Args:
    config: of the measuring.
    trained: the members' stages, all from one reward model.
    data: comparisons that the mean is measured on.
    name: of the mean.

  Raises:
    ValueError: there are fewer than two, or they start apart.
  """
  starts = {n: stage.start.get('reward') for n, stage in trained.items()}
  if len(trained) < 2 or None in starts.values() or len({*starts.values()}) > 1:
    raise ValueError(
      'weights are averaged of two reward models or more that start from one, '
      f'and here are {starts}; give each start={{"reward": …}}, a stage of '
      'reward_head'
    )
  roles = ['reward', *(f'reward {i}' for i in range(1, len(trained)))]
  averaged = Stage(
    init=init,
    update=measure,
    config=config,
    data=data,
    reads=(Comparison,),
    start=dict(zip(roles, trained, strict=True)),
    produces='reward',
    log_every=1,
  )
  return {**trained, name: averaged}


def _shapes(params):
  leaves, tree = jax.tree.flatten(params)
  return tree, tuple(leaf.shape for leaf in leaves)


def _mean(*leaves):
  stacked = jnp.stack(leaves).astype(jnp.float32)
  return jnp.mean(stacked, axis=0).astype(leaves[0].dtype)
