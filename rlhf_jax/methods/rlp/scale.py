"""A reward model on the scale of another: r′ = a r + b.

A retrained reward model has a scale of its own, and with it the KL penalty that
a policy is trained under has another weight. On the responses of a dataset, r′
has the mean and the deviation of the other model's scores. A head takes a and b
into itself; beside a policy that is read as a reward they are kept.
"""

import dataclasses
from collections.abc import Mapping

import chex
import jax.numpy as jnp
import optax

from rlhf_jax.stages import (
  DatasetStage,
  Ensemble,
  ImplicitReward,
  Stage,
)
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
  flatten_candidates,
)
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(optimizers.Once):
  """Whose responses' scores are matched: those of a batch, a fixed set."""


def init(
  key: chex.PRNGKey,
  start: Mapping[str, Params],
  *,
  models: Models,
  config: Config,
) -> Params:
  """{'reward'}: the reward model that is to be rescaled, as it is."""
  del key, models, config
  return {'reward': start['reward']}


def update(
  state: TrainState,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  optimizer: optax.GradientTransformation,
  config: Config,
) -> tuple[TrainState, Metrics]:
  """Folds a and b into the head. Returns (state, metrics).

  a = sd(frozen's scores) / sd(own scores), b makes the means equal, over all
  responses of Comparisons [B, K, T].
  """
  del key, optimizer, config
  tokens, mask = flatten_candidates((batch.tokens, batch.attention_mask))
  model = whole(state.params, frozen)['reward']
  own = models.reward.scores(model, tokens, mask)[:, 0]
  like = models.scorer(frozen, batch)
  scale, shift = matched(own, like, batch.candidate_mask)
  reward = state.params['reward']
  head = {
    'kernel': scale * reward['head']['kernel'],
    'bias': scale * reward['head']['bias'] + shift,
  }
  params = {'reward': reward | {'head': head}}
  metrics = {'scale': Mean.of(scale), 'shift': Mean.of(shift)}
  return state.replace(step=state.step + 1, params=params), metrics


def matched(
  own: chex.Array, like: chex.Array, there: chex.Array
) -> tuple[chex.Array, chex.Array]:
  """a and b, with which own scores have the moments of others.

  Both of B K numbers in any shape, over the responses `there` [B, K] bool.
  """
  own, like, there = (x.reshape(-1) for x in (own, like, there))
  mean, deviation = jnp.mean(own, where=there), jnp.std(own, where=there)
  # Scores that are all alike have no scale.
  deviation_like = jnp.std(like, where=there)
  scale = jnp.where(deviation > 0, deviation_like / deviation, 1.0)
  return scale, jnp.mean(like, where=there) - scale * mean


def init_implicit(
  key: chex.PRNGKey,
  start: Mapping[str, Params],
  *,
  models: Models,
  config: Config,
) -> Params:
  """{'scale'}: a and b of scores as they are, 1 and 0."""
  del key, start, models, config
  return {'scale': {'factor': jnp.ones(()), 'shift': jnp.zeros(())}}


def update_implicit(
  state: TrainState,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  optimizer: optax.GradientTransformation,
  config: Config,
) -> tuple[TrainState, Metrics]:
  """Keeps a and b. Returns (state, metrics).

  frozen['reward'] are two rewards whose scores [2, B, K] of Comparisons
  [B, K, T] come `side_by_side`: those that are matched, and those like which.
  """
  del key, optimizer, config
  own, like = models.scorer(frozen, batch)
  scale, shift = matched(own, like, batch.candidate_mask)
  params = {'scale': {'factor': scale, 'shift': shift}}
  metrics = {'scale': Mean.of(scale), 'shift': Mean.of(shift)}
  return state.replace(step=state.step + 1, params=params), metrics


def side_by_side(scores: chex.Array) -> chex.Array:
  """The scores [E, ...] of an ensemble as they are."""
  return scores


def stages(
  config: Config,
  *,
  trained: Mapping[str, Stage | DatasetStage],
  like: str | ImplicitReward = 'reward_model',
  data: str = 'preferences',
  name: str,
) -> dict[str, Stage | DatasetStage]:
  """`trained`, then {name}: the reward model that it ends with, rescaled.

  The reward model before that is not measured at the end; it differs in scale
  alone.

  Args:
    config: of the matching.
    trained: stages, the last of which trains a reward model.
    like: whose scale is taken.
    data: comparisons, on whose responses scores are matched.
    name: of the rescaled one.
  """
  *_, last = trained
  rescaled = Stage(
    init=init,
    update=update,
    config=config,
    data=data,
    reads=(Comparison,),
    start={'reward': last},
    frozen={'reward': like},
    produces='reward',
    log_every=1,
  )
  unscaled = trained[last]._replace(produces='unscaled_reward')
  return {**trained, last: unscaled, name: rescaled}


def implicit_stages(
  config: Config,
  *,
  reward: ImplicitReward,
  like: str | ImplicitReward = 'reward_model',
  data: str = 'preferences',
  name: str,
) -> dict[str, Stage]:
  """{name}: the scale that brings an implicit reward to another's.

  `dataclasses.replace(reward, scale=name)` is the reward on that scale.

  Args:
    config: of the matching.
    reward: a policy that is read as a reward.
    like, data, name: as of `stages`.
  """
  both = Ensemble((reward, like), side_by_side)
  return {
    name: Stage(
      init=init_implicit,
      update=update_implicit,
      config=config,
      data=data,
      reads=(Comparison,),
      frozen={'reward': both},
      produces='scale',
      log_every=1,
    )
  }
