"""Learning by maximum likelihood from responses worth imitating."""

import dataclasses
from collections.abc import Callable, Mapping

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import logps, masking
from rlhf_jax.losses import supervised
from rlhf_jax.training import state as training
from rlhf_jax.types import Demonstrations, Mean, Metrics, Models, Params, Terms
from rlhf_jax.types.rules import MicroBatches
from rlhf_jax.types.values import checked


def self_normalised(means: Mean, weight: chex.Array) -> Mean:
  """Σ w ℓ / Σ w over rows: only how weights compare counts, not their size."""
  return Mean(jnp.sum(weight * means.total), jnp.sum(weight * means.weight))


def unnormalised(means: Mean, weight: chex.Array) -> Mean:
  """Σ w ℓ over the number of rows: weights scale the step, too."""
  return Mean(jnp.sum(weight * means.total), jnp.sum(means.weight))


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config:
  """How token losses are averaged, and in how many parts.

  Attributes:
    reduction: (losses [B, T], mask [B, T]) -> Mean; over all tokens by default.
    weighing: (each row's Mean [B], weight [B]) -> Mean, where rows have weights
      of their own: `self_normalised` or `unnormalised`.
    micro_batches: parts that a batch is cut into, to save memory.
  """

  reduction: Callable[[chex.Array, chex.Array], Mean] = masking.token_mean
  weighing: Callable[[Mean, chex.Array], Mean] = self_normalised
  micro_batches: MicroBatches = 1


init = training.policy_from


def loss(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Demonstrations,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Terms, Metrics]:
  """Terms and metrics of Demonstrations [B, T]. Differentiate in `params`.

  −log π(response | prompt), token by token, averaged by `config.reduction`;
  rows with weights are reduced one by one first.
  """
  del frozen, key  # Nothing stays fixed, nothing is random.
  token_logps = logps.next_token_logps(
    models.policy,
    params['policy'],
    batch.tokens,
    batch.attention_mask,
    segment_ids=batch.segment_ids,
  )
  mask = batch.response_mask[:, 1:]
  losses = supervised.negative_log_likelihood(token_logps)
  if batch.weight is None:
    mean = config.reduction(losses, mask)
  else:
    rows = jax.vmap(config.reduction)(losses[:, None], mask[:, None])
    mean = config.weighing(rows, batch.weight)
  terms = {'likelihood': (1.0, mean)}
  metrics = {
    'nll_per_token': Mean.of(losses, mask),
    'response_tokens': Mean.of(jnp.sum(mask, axis=-1), jnp.any(mask, axis=-1)),
  }
  if batch.weight is not None:
    metrics['effective_share'] = effective_share(batch.weight)
  return terms, metrics


def effective_share(weight: chex.Array) -> Mean:
  """(Σ w)² / Σ w² of rows' weights [B], as a share of B.

  1 where all count alike, 1 / B where one counts alone: Kish's effective
  sample size.
  """
  effective = jnp.sum(weight) ** 2 / jnp.maximum(jnp.sum(weight**2), 1e-30)
  return Mean(effective, jnp.asarray(weight.size, jnp.float32))


update = training.gradient_step(loss)
