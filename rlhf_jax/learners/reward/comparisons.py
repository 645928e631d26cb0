"""Learning a reward model from ranked responses."""

import dataclasses
import functools
from collections.abc import Mapping

import chex
import jax.numpy as jnp

from rlhf_jax.losses import objective as objectives
from rlhf_jax.losses import pairwise
from rlhf_jax.training import state as training
from rlhf_jax.types import Comparisons, Mean, Metrics, Models, Params, Terms
from rlhf_jax.types.calls import offering
from rlhf_jax.types.rules import NonNegative
from rlhf_jax.types.values import checked

# What an objective may name, each [B] in reward units: the model's scores of
# both responses, and by how much the data prefer the first.
ARRAYS = ('chosen_scores', 'rejected_scores', 'margins')


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(objectives.Config):
  """Which objective is minimised, and in how many parts.

  Attributes:
    centering: weight of (chosen + rejected)², which keeps scores around 0.
  """

  objective: offering(ARRAYS) = pairwise.bradley_terry
  centering: NonNegative = 0.0


init = functools.partial(training.scalar_from, role='reward')


def loss(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Terms, Metrics]:
  """Terms and metrics of Comparisons [B, 2, T]. Differentiate in `params`."""
  del frozen, key  # Nothing stays fixed, nothing is random.
  return compared(scored(params, batch, models=models), batch, config=config)


def scored(params: Params, batch: Comparisons, *, models: Models) -> chex.Array:
  """[B, K] scores of Comparisons [B, K, T]."""
  B, K, T = batch.tokens.shape
  scores = models.reward.scores(
    params['reward'],
    batch.tokens.reshape(B * K, T),
    batch.attention_mask.reshape(B * K, T),
  )
  return scores[:, 0].reshape(B, K)


def compared(
  scores: chex.Array, batch: Comparisons, *, config: Config
) -> tuple[Terms, Metrics]:
  """Terms and metrics of scores [B, 2], the preferred response's first."""
  weight = batch.pair_weight
  chosen, rejected = scores[:, 0], scores[:, 1]
  arrays = dict(zip(ARRAYS, (chosen, rejected, batch.margins), strict=True))
  losses = objectives.losses_of(
    config.objective, arrays, shape=weight.shape, each='a pair'
  )
  centering = pairwise.centering(chosen, rejected)
  terms = {
    'preference': (1.0, Mean.of(losses, weight)),
    'centering': (config.centering, Mean.of(centering, weight)),
  }
  right = (chosen > rejected) + 0.5 * (chosen == rejected)
  metrics = {
    'accuracy': Mean.of(right, weight),
    'margin': Mean.of(chosen - rejected, weight),
    'score': Mean.of(jnp.mean(scores, axis=-1), weight),
  }
  return terms, metrics


update = training.gradient_step(loss)
