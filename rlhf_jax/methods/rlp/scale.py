"""A reward model on the scale of another: r′ = a r + b.

A retrained reward model has a scale of its own, and with it the KL penalty that
a policy is trained under has another weight. On the responses of a dataset, r′
has the mean and the deviation of the other model's scores.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp

from rlhf_jax.stages import DatasetStage, Stage
from rlhf_jax.training import optimizers
from rlhf_jax.training.state import whole
from rlhf_jax.types import Comparison, Mean, flatten_candidates
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(optimizers.Once):
  """Whose responses' scores are matched: those of a batch, a fixed set."""


def init(key, start, *, models, config):
  """{'reward'}: the reward model that is to be rescaled, as it is."""
  del key, models, config
  return {'reward': start['reward']}


def update(state, frozen, batch, key, *, models, optimizer, config):
  """Folds a and b into the head. Returns (state, metrics).

  a = sd(frozen's scores) / sd(own scores), b makes the means equal, over all
  responses of Comparisons [B, K, T].
  """
  del key, optimizer, config
  tokens, mask = flatten_candidates((batch.tokens, batch.attention_mask))
  there = batch.candidate_mask.reshape(-1)

  def moments(scores):
    return jnp.mean(scores, where=there), jnp.std(scores, where=there)

  model = whole(state.params, frozen)['reward']
  own = models.reward.scores(model, tokens, mask)[:, 0]
  mean, deviation = moments(own)
  like_mean, like_deviation = moments(models.scorer(frozen, batch).reshape(-1))
  # Scores that are all alike have no scale.
  scale = jnp.where(deviation > 0, like_deviation / deviation, 1.0)
  shift = like_mean - scale * mean
  reward = state.params['reward']
  head = {
    'kernel': scale * reward['head']['kernel'],
    'bias': scale * reward['head']['bias'] + shift,
  }
  params = {'reward': reward | {'head': head}}
  metrics = {'scale': Mean.of(scale), 'shift': Mean.of(shift)}
  return state.replace(step=state.step + 1, params=params), metrics


def stages(
  config: Config,
  *,
  trained: Mapping[str, Stage | DatasetStage],
  like: str = 'reward_model',
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
