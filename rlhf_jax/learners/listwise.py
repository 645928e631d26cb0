"""Learning a policy from ranked lists of responses, the best one first."""

import dataclasses
import functools
from collections.abc import Collection, Mapping

import chex
import jax.numpy as jnp

from rlhf_jax.kernels import logps
from rlhf_jax.losses import listwise
from rlhf_jax.losses import objective as objectives
from rlhf_jax.training import state as training
from rlhf_jax.types import Comparisons, Mean, Metrics, Models, Params, Terms
from rlhf_jax.types.calls import offering
from rlhf_jax.types.values import checked

# What `arrays_for` gives, where the stage and its data have it.
ARRAYS = (
  'policy_logps',
  'reference_logps',
  'lengths',
  'candidate_mask',
  'scores',
  'order',
)
Objective = offering(ARRAYS)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(objectives.Config):
  """Which objective is minimised, and in how many parts."""

  objective: Objective = functools.partial(listwise.rrhf, rank_coef=1.0)


init = training.policy_from


def loss(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Terms, Metrics]:
  """Terms and metrics of Comparisons [B, K, T]. Differentiate in `params`.

  Log-probs are those of whole responses, end-of-text included.
  """
  del key  # Nothing here is random.
  arrays = arrays_for(
    params, frozen, batch, objectives.reads(config.objective), models=models
  )
  losses = objectives.losses_of(
    config.objective, arrays, shape=batch.weight.shape, each='a list'
  )
  terms = {'ranking': (1.0, Mean.of(losses, batch.weight))}
  return terms, metrics_of(arrays, batch.weight)


def arrays_for(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  wanted: Collection[str],
  *,
  models: Models,
) -> dict[str, chex.Array]:
  """The arrays that an objective may name, each [B, K].

  policy_logps: nats; 0 where there is no response.
  reference_logps: nats; where wanted, if the stage froze a reference or its
    log-probs are kept with the data.
  lengths: tokens, float32.
  candidate_mask: bool, True on responses.
  scores: reward units, where the data has them.
  order: the scores, or where there are none 0, −1, −2, …: only which is larger
    means anything.

  Args:
    params, frozen, batch, models: as in `loss`.
    wanted: names; what takes a model is computed for these alone.
  """
  B, K = batch.candidate_mask.shape
  places = -jnp.arange(K, dtype=jnp.float32)
  arrays = {
    'policy_logps': logps.response_logps(
      models.policy, params['policy'], batch
    ),
    'lengths': logps.response_lengths(batch),
    'candidate_mask': batch.candidate_mask,
    'order': jnp.broadcast_to(places, (B, K)),
  }
  if batch.scores is not None:
    arrays |= {'scores': batch.scores, 'order': batch.scores}
  known = batch.reference_logps is not None or 'reference' in frozen
  if known and 'reference_logps' in wanted:
    arrays['reference_logps'] = logps.reference_logps(
      models.policy, frozen.get('reference'), batch
    )
  return arrays


def metrics_of(arrays: Mapping[str, chex.Array], weight: chex.Array) -> Metrics:
  """Metrics to log, of arrays [B, K] and weights [B].

  `accuracy` is the share of a prompt's ordered pairs that the mean log-prob of
  a token ranks rightly, over the prompts that have one; `best_logps` is the
  log-prob of the best response, whole.
  """
  order, mask = arrays['order'], arrays['candidate_mask']
  means = arrays['policy_logps'] / jnp.maximum(arrays['lengths'], 1.0)
  # [B, K, K]: candidate i against candidate j.
  both = mask[:, :, None] & mask[:, None, :]
  better = both & (order[:, :, None] > order[:, None, :])
  gap = means[:, :, None] - means[:, None, :]
  right = jnp.sum(better * ((gap > 0) + 0.5 * (gap == 0)), axis=(1, 2))
  pairs = jnp.sum(better, axis=(1, 2))
  ranked = (pairs > 0) & (weight > 0)
  return {
    'accuracy': Mean.of(right / jnp.maximum(pairs, 1), ranked),
    'best_logps': Mean.of(arrays['policy_logps'][:, 0], weight),
  }


update = training.gradient_step(loss)
