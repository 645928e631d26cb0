"""What policy, critic and reference say of rollouts, and what is logged."""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax.numpy as jnp

from rlhf_jax.kernels import divergences, logps, masking
from rlhf_jax.types import Mean, Rollouts, flatten_candidates


class TokenOutputs(NamedTuple):
  """What the trainer's own pass says of rollouts: [N, R] each."""

  logps: chex.Array
  entropies: chex.Array
  values: chex.Array


# (models, params, hidden [N, T, D], tokens, attention_mask) -> values [N, T].
Critic = Callable[[Any, Any, chex.Array, chex.Array, chex.Array], chex.Array]


def separate_critic(models, params, hidden, tokens, attention_mask):
  """Values by a network of its own, `params['critic']`."""
  del hidden
  return models.critic.values(params['critic'], tokens, attention_mask)


def shared_trunk(models, params, hidden, tokens, attention_mask):
  """Values by a head, `params['critic']`, on the policy's hidden states."""
  del tokens, attention_mask
  return models.critic.head(params['critic'], hidden)[..., 0]


def no_critic(models, params, hidden, tokens, attention_mask):
  """Values of 0, for methods whose baseline is not learnt."""
  del models, params, attention_mask, hidden
  return jnp.zeros(tokens.shape, jnp.float32)


def evaluate(params, rollouts: Rollouts, *, models, config) -> TokenOutputs:
  """Log-probs, entropies and values of flat rollouts [N, T], by one pass."""
  start = rollouts.tokens.shape[-1] - rollouts.response_length
  tokens, mask = rollouts.tokens, rollouts.attention_mask
  hidden = models.policy.hidden(params['policy'], tokens, mask)
  token_logps, entropies = models.policy.token_logps_and_entropies(
    params['policy'],
    logps.before_tokens(hidden, start=start),
    tokens[:, start:],
    config.temperature,
  )
  values = config.critic(models, params, hidden, tokens, mask)
  values = logps.before_tokens(values, start=start)
  return TokenOutputs(token_logps, entropies, values)


def response_kl(policy_logps, reference_logps, mask):
  """[..., R] -> [...]: single-sample KL to the reference, nats per response."""
  return masking.masked_sum(
    divergences.k1(policy_logps, reference_logps), mask, axis=-1
  )


def flatten_rollouts(rollouts: Rollouts) -> Rollouts:
  """[B, K, …] -> [B * K, …]; each sample keeps its prompt's index."""
  samples = rollouts.tokens.shape[1]
  index = jnp.repeat(rollouts.index[:, None], samples, axis=1)
  return flatten_candidates(rollouts.replace(index=index))


def rollout_metrics(rollouts, policy_logps, reference_logps, *, scores):
  """What is logged of a batch of flat rollouts [N, T].

  Args:
    rollouts: the samples.
    policy_logps: [N, R] by the trainer's own pass.
    reference_logps: [N, R].
    scores: [N] in reward units, as the reward gave them.

  Returns:
    Score, KL (nats per response and per token), response length, share ended,
    the largest gap between the sampler's log-probs and the trainer's, and the
    share of responses without a score, of which nothing else is counted.
  """
  _, mask = rollouts.responses
  scored = jnp.any(mask, axis=-1)
  kl = response_kl(policy_logps, reference_logps, mask)
  gap = jnp.abs(jnp.where(mask, rollouts.logps - policy_logps, 0.0))
  return {
    'score': Mean.of(scores, scored),
    'kl': Mean.of(kl, scored),
    'kl_per_token': Mean(jnp.sum(kl), jnp.sum(mask).astype(jnp.float32)),
    'response_length': Mean.of(jnp.sum(mask, axis=-1), scored),
    'ended': Mean.of(rollouts.ended, scored),
    'sampler_gap': Mean.of(jnp.max(gap)),
    'unscored': Mean.of(~scored),
  }


def explained_variance(values, returns, mask):
  """Share of the returns' variance, [N, R] both, that the values explain."""
  unexplained = masking.masked_var(returns - values, mask)
  variance = masking.masked_var(returns, mask)
  return Mean.of(1.0 - unexplained / jnp.maximum(variance, 1e-8))
