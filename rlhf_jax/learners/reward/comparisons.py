"""Learning a reward model from ranked responses."""

import dataclasses
import functools
from collections.abc import Callable

import chex
import jax.numpy as jnp

from rlhf_jax.losses import pairwise
from rlhf_jax.training import state as training
from rlhf_jax.types import Mean
from rlhf_jax.types.rules import MicroBatches, NonNegative
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config:
  """Which comparison is learnt, and in how many parts.

  Attributes:
    objective: (chosen [B], rejected [B], margins [B]) -> losses [B].
    centering: weight of (chosen + rejected)², which keeps scores around 0.
    micro_batches: parts that a batch is cut into, to save memory.
  """

  objective: Callable[[chex.Array, chex.Array, chex.Array], chex.Array] = (
    pairwise.bradley_terry
  )
  centering: NonNegative = 0.0
  micro_batches: MicroBatches = 1


init = functools.partial(training.scalar_from, role='reward')


def loss(params, frozen, batch, key, *, models, config):
  """Terms and metrics of Comparisons [B, 2, T]. Differentiate in `params`."""
  del frozen, key  # Nothing stays fixed, nothing is random.
  return compared(scored(params, batch, models=models), batch, config=config)


def scored(params, batch, *, models):
  """[B, K] scores of Comparisons [B, K, T]."""
  rows, candidates, length = batch.tokens.shape
  scores = models.reward.scores(
    params['reward'],
    batch.tokens.reshape(rows * candidates, length),
    batch.attention_mask.reshape(rows * candidates, length),
  )
  return scores[:, 0].reshape(rows, candidates)


def compared(scores, batch, *, config):
  """Terms and metrics of scores [B, 2], the preferred response's first."""
  weight = batch.pair_weight
  chosen, rejected = scores[:, 0], scores[:, 1]
  losses = config.objective(chosen, rejected, batch.margins)
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
