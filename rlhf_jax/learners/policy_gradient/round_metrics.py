"""Metrics of rounds of sampling: KL, lengths, the sampler's gap."""

import chex
import jax.numpy as jnp

from rlhf_jax.kernels import divergences, masking
from rlhf_jax.types import Mean, Metrics, Rollouts


def response_kl(
  policy_logps: chex.Array, reference_logps: chex.Array, mask: chex.Array
) -> chex.Array:
  """[..., R] -> [...]: single-sample KL to the reference, nats per response."""
  return masking.masked_sum(
    divergences.k1(policy_logps, reference_logps), mask, axis=-1
  )


def rollout_metrics(
  rollouts: Rollouts,
  policy_logps: chex.Array,
  reference_logps: chex.Array,
  *,
  scores: chex.Array,
) -> Metrics:
  """Metrics of flat rollouts [N, T].

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
  return policy_metrics(rollouts, policy_logps, reference_logps) | {
    'score': Mean.of(scores, scored),
    'response_length': Mean.of(jnp.sum(mask, axis=-1), scored),
    'ended': Mean.of(rollouts.ended, scored),
    'unscored': Mean.of(~scored),
  }


# Those of `policy_metrics`.
OF_POLICY = ('kl', 'kl_per_token', 'sampler_gap')


def policy_metrics(
  rollouts: Rollouts, policy_logps: chex.Array, reference_logps: chex.Array
) -> Metrics:
  """Those of flat rollouts [N, T] that need the trainer's own pass.

  The largest gap is that of these rollouts: over several micro-batches, the
  mean of theirs. Args: as of `rollout_metrics`.
  """
  _, mask = rollouts.responses
  scored = jnp.any(mask, axis=-1)
  kl = response_kl(policy_logps, reference_logps, mask)
  gap = jnp.abs(jnp.where(mask, rollouts.logps - policy_logps, 0.0))
  return {
    'kl': Mean.of(kl, scored),
    'kl_per_token': Mean(jnp.sum(kl), jnp.sum(mask).astype(jnp.float32)),
    'sampler_gap': Mean.of(jnp.max(gap)),
  }


def explained_variance(
  values: chex.Array, returns: chex.Array, mask: chex.Array
) -> Mean:
  """Share of the returns' variance, [N, R] both, that the values explain."""
  unexplained = masking.masked_var(returns - values, mask)
  variance = masking.masked_var(returns, mask)
  return Mean.of(1.0 - unexplained / jnp.maximum(variance, 1e-8))
