"""Masked statistics, and the ways the field averages losses over a batch.

Values under False may be anything, NaN included: they do not count, and no
gradient reaches them. Statistics are float32 whatever comes in.

A learner is handed one of the reductions; all have the signature
(losses [B, T], mask [B, T]) -> Mean, so micro-batches add up before the one
division. A row masked whole counts nowhere but in `fixed_length`: a response
without tokens has a log-prob and means of 0, ratios of 1 and no reward,
advantage, gradient or weight (tests/kernels/empty_test.py).
"""

from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp

from rlhf_jax import types
from rlhf_jax.types.rules import Positive

Axis = int | Sequence[int] | None


def masked_sum(
  x: chex.Array, mask: chex.Array, axis: Axis = None, *, keepdims: bool = False
) -> chex.Array:
  """Sum of x [...] where mask [...] is True, over `axis` (all by default)."""
  chex.assert_type(mask, bool)
  chex.assert_equal_shape([x, mask])
  x = jnp.asarray(x, jnp.float32)
  return jnp.sum(x, axis=axis, where=mask, keepdims=keepdims)


def masked_mean(
  x: chex.Array, mask: chex.Array, axis: Axis = None, *, keepdims: bool = False
) -> chex.Array:
  """Mean of x [...] where mask [...] is True; 0 where nothing counts."""
  total = masked_sum(x, mask, axis, keepdims=keepdims)
  count = masked_sum(mask, mask, axis, keepdims=keepdims)
  return total / jnp.maximum(count, 1.0)


def masked_var(
  x: chex.Array,
  mask: chex.Array,
  axis: Axis = None,
  *,
  ddof: int = 0,
  keepdims: bool = False,
) -> chex.Array:
  """Variance of x [...] where mask [...] is True.

  Σ (x − mean)² / (n − ddof), over the n values that count.

  Args:
    x: [...] values.
    mask: [...] bool.
    axis: what to reduce over; everything by default.
    ddof: 0 for the biased variance, 1 for the unbiased one.
    keepdims: keeps the reduced axes, of length 1.

  Returns:
    The variance; 0 where no more than `ddof` values count.
  """
  # Junk under False must not meet the square: 0 · nan in its gradient is nan.
  x = jnp.where(mask, jnp.asarray(x, jnp.float32), 0.0)
  centred = x - masked_mean(x, mask, axis, keepdims=True)
  squares = masked_sum(centred**2, mask, axis, keepdims=keepdims)
  count = masked_sum(mask, mask, axis, keepdims=keepdims)
  return squares / jnp.maximum(count - ddof, 1.0)


def whiten(
  x: chex.Array,
  mask: chex.Array,
  *,
  shift_mean: bool = True,
  ddof: int = 0,
  axis: Axis = None,
  epsilon: Positive = 1e-8,
) -> chex.Array:
  """x [...] scaled to variance 1 and, by default, shifted to mean 0.

  (x − mean) / √(var + ε), with masked mean and variance. Under a sharded batch
  these are the whole batch's, not a device's.

  Args:
    x: [...] values.
    mask: [...] bool; the statistics are those of the True positions.
    shift_mean: False keeps the mean, as for rewards, whose sign matters.
    ddof: 0 for the biased variance (OpenRLHF, NeMo-Aligner), 1 for the unbiased
      one (TRL, Tunix).
    axis: what the statistics are taken over: everything by default.
    epsilon: added to the variance, so that equal values come out 0.

  Returns:
    [...] like x, 0 where masked. A single value comes out 0, or as it was
    where the mean is kept.
  """
  x = jnp.where(mask, jnp.asarray(x, jnp.float32), 0.0)
  mean = masked_mean(x, mask, axis, keepdims=True)
  variance = masked_var(x, mask, axis, ddof=ddof, keepdims=True)
  whitened = (x - mean) * jax.lax.rsqrt(variance + epsilon)
  if not shift_mean:
    whitened = whitened + mean
  return jnp.where(mask, whitened, 0.0)


def centre(x: chex.Array, mask: chex.Array) -> chex.Array:
  """x [...] less its masked mean, 0 where masked."""
  x = jnp.where(mask, jnp.asarray(x, jnp.float32), 0.0)
  return jnp.where(mask, x - masked_mean(x, mask), 0.0)


def token_mean(losses: chex.Array, mask: chex.Array) -> types.Mean:
  """Every token of the batch counts the same: long responses weigh more."""
  return types.Mean.of(losses, mask)


def sequence_mean(losses: chex.Array, mask: chex.Array) -> types.Mean:
  """Every response counts the same: the mean over rows of their token means."""
  return types.Mean.of(masked_mean(losses, mask, -1), jnp.any(mask, axis=-1))


def sequence_sum(losses: chex.Array, mask: chex.Array) -> types.Mean:
  """The mean over rows of their sums, as a whole response's log-prob is."""
  return types.Mean.of(masked_sum(losses, mask, -1), jnp.any(mask, axis=-1))


def fixed_length(
  losses: chex.Array, mask: chex.Array, *, length: int | None = None
) -> types.Mean:
  """The sum over B · `length`, whatever the lengths of the responses.

  Every row of the batch counts, a row masked whole as 0.

  Args:
    losses: [B, T].
    mask: [B, T] bool.
    length: T by default; give the longest response allowed where batches of
      several widths have to weigh the same.

  Returns:
    Mean of weight B · length.

  Source: Liu et al. 2025 (Dr. GRPO), the released code's constant divisor.
  """
  B, T = losses.shape
  weight = B * (T if length is None else length)
  return types.Mean(masked_sum(losses, mask), jnp.asarray(weight, jnp.float32))
