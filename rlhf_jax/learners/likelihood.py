"""Learning by maximum likelihood from responses worth imitating."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from rlhf_jax.kernels import logps, masking
from rlhf_jax.losses import likelihood
from rlhf_jax.training import state as training
from rlhf_jax.types import Mean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """How token losses are averaged, and in how many parts.

  Attributes:
    reduction: (losses [B, T], mask [B, T]) -> Mean; over all tokens by default.
    micro_batches: parts that a batch is cut into, to save memory.
  """

  reduction: Callable[..., Mean] = masking.token_mean
  micro_batches: int = 1


init = training.policy_from


def loss(params, frozen, batch, key, *, models, config):
  """Terms and metrics of Demonstrations [B, T]. Differentiate in `params`.

  −log π(response | prompt), token by token, averaged by `config.reduction`.
  """
  del frozen, key  # Nothing stays fixed, nothing is random.
  token_logps = logps.next_token_logps(
    models.policy,
    params,
    batch.tokens,
    batch.attention_mask,
    segment_ids=batch.segment_ids,
  )
  mask = batch.response_mask[:, 1:]
  losses = likelihood.negative_log_likelihood(token_logps)
  terms = {'likelihood': (1.0, config.reduction(losses, mask))}
  metrics = {
    'nll_per_token': Mean.of(losses, mask),
    'response_tokens': Mean.of(jnp.sum(mask, axis=-1), jnp.any(mask, axis=-1)),
  }
  return terms, metrics


update = training.gradient_step(loss)
