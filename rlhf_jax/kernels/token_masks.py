"""Masks of the response tokens that a policy gradient learns from.

A mask [N, R] may multiply the losses, which leaves the weight of every kept
token as it was; or it may narrow the mask that averages them, which shares the
weight of the dropped tokens among the kept ones.
"""

import chex
import jax.numpy as jnp

from rlhf_jax.kernels import divergences, masking
from rlhf_jax.types.rules import Positive, ShareAboveZero


def high_entropy(
  entropies: chex.Array, mask: chex.Array, *, share: ShareAboveZero
) -> chex.Array:
  """The response tokens of the highest entropy, [N, R] bool.

  Their entropy is at least the quantile 1 − `share` of all response tokens of
  the batch; each micro-batch has a quantile of its own.

  Args:
    entropies: [N, R] of the policy before each token, in nats.
    mask: [N, R] bool, True on response tokens.
    share: of the tokens, how many to keep, in (0, 1]; 0.2 in the paper.

  Source: Wang et al. 2025, "Beyond the 80/20 Rule"; the quantile of the batch
  is interpolated, as TRL does.
  """
  chex.assert_type([entropies, mask], [float, bool])
  chex.assert_equal_shape([entropies, mask])
  counted = jnp.where(mask, entropies.astype(jnp.float32), jnp.nan)
  least = jnp.nanquantile(counted, 1.0 - share)
  return mask & (counted >= least)


def not_stale(
  logps: chex.Array,
  old_logps: chex.Array,
  advantages: chex.Array,
  mask: chex.Array,
  *,
  threshold: Positive,
) -> chex.Array:
  """False on tokens of bad responses that the policy hardly samples any more.

  That is where A < 0 and the mean of log π_old − log π along the response, an
  estimate of KL(π_old ‖ π) per token, exceeds the threshold.

  Args:
    logps: [N, R] under the policy that is trained.
    old_logps: [N, R] under the policy that sampled; best the sampler's own,
      which differ from the trainer's by precision and program as well.
    advantages: [N, R].
    mask: [N, R] bool, True on response tokens.
    threshold: in nats per token, > 0; the paper names none, TRL advises 0.5.

  Returns:
    [N, R] bool, also of tokens outside the mask.

  Source: DeepSeek-AI 2025 (DeepSeek-V3.2), off-policy sequence masking.
  """
  chex.assert_rank(logps, 2)
  chex.assert_equal_shape([logps, advantages, mask])
  moved = divergences.k1(old_logps, logps)
  divergence = masking.masked_mean(moved, mask, -1, keepdims=True)
  return (advantages >= 0.0) | (divergence <= threshold)
