"""Which tokens a policy gradient learns from, beyond those of the responses.

Masks [N, R] that multiply losses, or narrow the mask that averages them; the
former leaves the weight of a token as it was, the latter shares that of those
left out among the rest.
"""

import chex
import jax.numpy as jnp

from rlhf_jax.kernels import divergences, masking
from rlhf_jax.types.rules import Positive, ShareAboveZero


def high_entropy(
  entropies: chex.Array, mask: chex.Array, *, share: ShareAboveZero
) -> chex.Array:
  """The tokens at which the policy was least sure, [N, R] bool.

  Those whose entropy is no less than the quantile 1 − `share` of all response
  tokens of the batch. A batch that is cut into parts has a quantile for each.

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
  """All tokens but the bad ones of responses that the policy has left behind.

  False where A < 0 and the mean of log π_old − log π along the response, an
  estimate of KL(π_old ‖ π) per token, exceeds the threshold. To push such a
  response down further teaches little and can do harm; a good one is kept.

  Args:
    logps: [N, R] under the policy that is trained.
    old_logps: [N, R] under the policy that sampled: the sampler's own where
      those are known, as they tell of both kinds of staleness.
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
