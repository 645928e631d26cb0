"""A variational bottleneck on a trunk that stays as it is.

As `variational`, of features that are kept, as `head` has them: μ, s and g are
learnt of standardised channels, and after every step the reward model's head is
g(μ(·)) of the trunk's own. Params are {'reward': {'trunk', 'head',
'bottleneck'}}, of which the last is learnt, and read while it is.
"""

import dataclasses
from collections.abc import Mapping

import chex
import optax

from rlhf_jax.learners.reward import head, variational
from rlhf_jax.training import state as training
from rlhf_jax.types import (
  Comparisons,
  Metrics,
  Models,
  Params,
  Terms,
  TrainState,
)
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

features = head.features


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(variational.Config):
  """The bottleneck, and the trunk.

  Attributes:
    trunk_layers: as of `head.Config`.
  """

  trunk_layers: Count | None = None


def init(
  key: chex.PRNGKey,
  start: Mapping[str, Params],
  *,
  models: Models,
  config: Config,
) -> Params:
  """{'reward'}: as `variational.init`, as far as the trunk goes.

  What is read of the trunk before the first step says nothing.
  """
  params = variational.init(key, start, models=models, config=config)
  return {
    'reward': {
      'trunk': models.reward.trunk(params['reward']['trunk']),
      'head': params['reward']['head'],
      'bottleneck': params['bottleneck'],
    }
  }


def loss(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Terms, Metrics]:
  """Terms and metrics of Comparisons [B, 2, T]. Differentiate in `bottleneck`.

  Args:
    params: {'reward'}.
    frozen: 'features', their `head.spread`.
    batch: with `features` [B, 2, D] where they are kept.
    key: of the latents' noise.
    models: whose reward is read.
    config: of the objective.
  """
  found, seen = batch.features, frozen['features']
  if found is None:
    found = features(params, batch, models=models, config=config)
  mean, deviation = (seen[n][None, None] for n in ('mean', 'deviation'))
  standard = (found - mean) / deviation
  return variational.compared(
    params['reward']['bottleneck'], standard, batch, key, config=config
  )


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
  """One gradient step of the bottleneck, by an optimizer `head.of_part`."""
  reward = state.params['reward']

  def of_bottleneck_alone(params, *given, **named):
    return loss({'reward': reward | params}, *given, **named)

  own = state.replace(params={'bottleneck': reward['bottleneck']})
  own, metrics = training.gradient_step(of_bottleneck_alone)(
    own, frozen, batch, key, models=models, optimizer=optimizer, config=config
  )
  read = head.destandardise(
    variational.composed(own.params['bottleneck']), frozen['features']
  )
  params = {'reward': reward | own.params | {'head': read}}
  return own.replace(params=params), metrics
