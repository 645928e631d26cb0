"""Learning a pairwise ranker: which of two responses is preferred.

A ranker reads a prompt and both responses, one after the other, and gives the
log-odds that the first is preferred. What it says of the two orders is
averaged, so that neither place is favoured.
"""

import dataclasses
import functools
from collections.abc import Mapping

import chex
import jax.numpy as jnp

from rlhf_jax.kernels import splicing
from rlhf_jax.losses import pairwise
from rlhf_jax.training import state as training
from rlhf_jax.types import (
  Comparisons,
  Mean,
  Metrics,
  Models,
  Params,
  ScalarModel,
  Terms,
)
from rlhf_jax.types.rules import MicroBatches
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config:
  """In how many parts a batch is learnt from.

  Attributes:
    micro_batches: parts that a batch is cut into, to save memory.
  """

  micro_batches: MicroBatches = 1


init = functools.partial(training.scalar_from, role='ranker')


def both_orders(
  model: ScalarModel, params: Params, batch: Comparisons
) -> tuple[chex.Array, chex.Array]:
  """[B] log-odds for the first of Comparisons [B, 2, T], read in both orders.

  Returns:
    Those with the first read first, and those with it read last: for the first
    in both, so that a ranker without a favourite place gives the same twice.
  """
  width = batch.tokens.shape[-1]

  def read(head, tail):
    # Rows hold the prompt once, and so are shorter than two of them.
    tokens, attention_mask, _ = splicing.splice(
      batch.tokens[:, head],
      batch.attention_mask[:, head],
      batch.tokens[:, tail],
      batch.response_mask[:, tail],
      2 * width,
    )
    return model.scores(params, tokens, attention_mask)[:, 0]

  return read(0, 1), -read(1, 0)


def log_odds(
  model: ScalarModel, params: Params, batch: Comparisons
) -> chex.Array:
  """[B] log-odds that the first of each pair is preferred; odd in the order."""
  first, last = both_orders(model, params, batch)
  return 0.5 * (first + last)


def loss(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Terms, Metrics]:
  """Terms and metrics of Comparisons [B, 2, T]. Differentiate in `params`.

  −log σ of the log-odds of what was preferred, over both orders of each pair.
  """
  del frozen, key, config  # Nothing stays fixed, nothing is random.
  weight = batch.pair_weight
  orders = jnp.stack(
    both_orders(models.reward, params['ranker'], batch), axis=-1
  )
  losses = pairwise.bradley_terry(orders, jnp.zeros_like(orders))
  odds = jnp.mean(orders, axis=-1)
  right = (odds > 0) + 0.5 * (odds == 0)
  terms = {'preference': (1.0, Mean.of(jnp.mean(losses, -1), weight))}
  metrics = {
    'accuracy': Mean.of(right, weight),
    'log_odds': Mean.of(odds, weight),
  }
  return terms, metrics


update = training.gradient_step(loss)
