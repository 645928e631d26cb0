"""Learning to rate several attributes of a response, by regression."""

import dataclasses
from collections.abc import Mapping

import chex
import jax.numpy as jnp

from rlhf_jax.losses import supervised
from rlhf_jax.training import state as training
from rlhf_jax.types import Mean, Metrics, Models, Params, Ratings, Terms
from rlhf_jax.types.rules import Levels, MicroBatches
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config:
  """Which attributes are learnt, and in how many parts.

  Attributes:
    names: of the M attributes, in the order of the data's ratings.
    levels: how many each has, 0 to levels − 1; for metrics.
    micro_batches: parts that a batch is cut into, to save memory.
  """

  names: tuple[str, ...]
  levels: Levels = 5
  micro_batches: MicroBatches = 1


def init(
  key: chex.PRNGKey,
  start: Mapping[str, Params],
  *,
  models: Models,
  config: Config,
) -> Params:
  """{'attributes'}: a scalar model with M scores, on start['policy']'s trunk.

  Or start['attributes'] as it is.
  """
  return training.scalar_from(
    key,
    start,
    models=models,
    config=config,
    role='attributes',
    scores=len(config.names),
  )


def loss(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Ratings,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Terms, Metrics]:
  """Terms and metrics of Ratings [B, T]. Differentiate in `params`.

  The mean of (s − y)² over the ratings that there are, in levels squared; a
  response with many counts for more. Accuracy is the share of them that the
  prediction hits once it is clipped and rounded.

  Raises:
    ValueError: the data rate another number of attributes.
  """
  del frozen, key  # Nothing stays fixed, nothing is random.
  _, M = batch.ratings.shape
  if len(config.names) != M:
    raise ValueError(
      f'the data rate {M} attributes and the config names '
      f'{len(config.names)}: {", ".join(config.names)}'
    )
  scores = models.reward.scores(
    params['attributes'], batch.tokens, batch.attention_mask
  )
  errors = supervised.masked_squared_error(
    scores, batch.ratings, batch.rating_mask
  )
  # To the even one of two that are as near, as Python's round does.
  nearest = jnp.round(jnp.clip(scores, 0, config.levels - 1))
  right = nearest == jnp.round(batch.ratings)
  by_name = {
    f'accuracy_{name}': Mean.of(right[:, m], batch.rating_mask[:, m])
    for m, name in enumerate(config.names)
  }
  terms = {'squared_error': (1.0, Mean.of(errors, batch.rating_mask))}
  return terms, {'accuracy': Mean.of(right, batch.rating_mask)} | by_name


update = training.gradient_step(loss)
