"""What takes a response's length out of its log-prob, whole or in part."""

import chex
import jax.numpy as jnp

from rlhf_jax.kernels import masking
from rlhf_jax.types.rules import Share


def mean_logps(logps: chex.Array, lengths: chex.Array) -> chex.Array:
  """Log-prob per token, S / n, of whole responses; 0 for an empty one.

  Args:
    logps: [...] log-probs of the whole responses, sums in nats.
    lengths: [...] tokens of each, as floats; the end-of-text counts.

  Returns:
    [...] in nats per token.
  """
  chex.assert_type([logps, lengths], float)
  chex.assert_equal_shape([logps, lengths])
  return logps / jnp.maximum(lengths, 1.0)


def whole_logps(
  token_logps: chex.Array, mask: chex.Array, shared_lengths: chex.Array
) -> chex.Array:
  """Log-prob of a response, Σ log π(yₜ), however long the other one is.

  Args: as in `discounted_tail_logps`.

  Returns:
    [...] in nats.
  """
  del shared_lengths
  return masking.masked_sum(token_logps, mask, -1)


def discounted_tail_logps(
  token_logps: chex.Array,
  mask: chex.Array,
  shared_lengths: chex.Array,
  *,
  ld_alpha: Share,
) -> chex.Array:
  """Log-prob of a response in which only the common length counts in full.

  Σ log π(yₜ) over the first `shared_lengths` response tokens, and α times the
  sum over those after them. Given to DPO in place of the plain sums, for the
  policy and the reference alike, it makes a response less sensitive to being
  the longer one of its pair.

  Args:
    token_logps: [..., R] in nats; anything, NaN included, where masked.
    mask: [..., R] bool, True on response tokens.
    shared_lengths: [...] tokens of the shorter response of the pair.
    ld_alpha: α, 1 for the plain sum, 0 to cut the longer response.

  Returns:
    [...] in nats.

  Source: Liu et al. 2024 (LD-DPO), "Length Desensitization in Direct
  Preference Optimization".
  """
  chex.assert_type([token_logps, mask], [float, bool])
  chex.assert_equal_shape([token_logps, mask])
  chex.assert_shape(shared_lengths, mask.shape[:-1])
  positions = jnp.cumsum(mask, axis=-1)  # 1 on the first response token.
  shared = positions <= jnp.expand_dims(shared_lengths, -1)
  head = masking.masked_sum(token_logps, mask & shared, -1)
  tail = masking.masked_sum(token_logps, mask & ~shared, -1)
  return head + ld_alpha * tail
