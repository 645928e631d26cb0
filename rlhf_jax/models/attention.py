"""Attention over arrays: positions, masks, rotation, softmax attention.

Letters: H query heads, G heads of keys and values, each shared by H / G query
heads, and d the width of a head.
"""

import chex
import jax
import jax.numpy as jnp

# Finite, so that a query without visible keys has finite values and gradients.
HIDDEN_SCORE = -1e30


def positions_from_mask(
  attention_mask: chex.Array, segment_ids: chex.Array | None = None
) -> chex.Array:
  """[B, T] int32 position of each token among the real tokens of its segment.

  Padding has the position of the token before it (0 at the start).

  Args:
    attention_mask: [B, T] bool.
    segment_ids: [B, T] int32, equal within a packed example, examples
      contiguous; None when a row is one example.
  """
  chex.assert_rank(attention_mask, 2)
  chex.assert_type(attention_mask, bool)
  counts = jnp.cumsum(attention_mask, axis=-1, dtype=jnp.int32)
  if segment_ids is not None:
    chex.assert_equal_shape([attention_mask, segment_ids])
    starts = segment_ids[:, 1:] != segment_ids[:, :-1]
    starts = jnp.pad(starts, ((0, 0), (1, 0)), constant_values=True)
    before = jnp.where(starts, counts - attention_mask, 0)
    counts = counts - jax.lax.cummax(before, axis=1)
  return jnp.maximum(counts - 1, 0)


def visible_keys(
  attention_mask: chex.Array, segment_ids: chex.Array | None = None
) -> chex.Array:
  """[B, T, T] bool, the causal mask: True where query t may attend to key s.

  That is to the real tokens of its own segment up to itself:

    mask 0 1 1 1, segments - 1 1 2   t\\s  0 1 2 3
                                      0   . . . .
                                      1   . x . .
                                      2   . x x .
                                      3   . . . x
  """
  length = attention_mask.shape[-1]
  causal = jnp.tril(jnp.ones((length, length), bool))
  visible = causal[None] & attention_mask[:, None, :]
  if segment_ids is not None:
    visible &= segment_ids[:, :, None] == segment_ids[:, None, :]
  return visible


def rotary(
  positions: chex.Array, head_width: int, base: float
) -> tuple[chex.Array, chex.Array]:
  """Cosines and sines, [..., d / 2] float32 each, of positions [...].

  Pair i of a head is rotated by position · base^(−2i / d).

  Source: Su et al. 2021, section 3.2.2.
  """
  exponents = jnp.arange(0, head_width, 2, dtype=jnp.float32) / head_width
  angles = jnp.einsum(
    '...,i->...i', positions.astype(jnp.float32), base**-exponents
  )
  return jnp.cos(angles), jnp.sin(angles)


def rotate(x: chex.Array, cos: chex.Array, sin: chex.Array) -> chex.Array:
  """Rotates each pair (i, i + d / 2) of heads x [..., H, d] by its angle.

  Args:
    x: [..., H, d] queries or keys.
    cos: [..., d / 2] from `rotary`; likewise sin.

  Returns:
    [..., H, d], of x's dtype.
  """
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  cos, sin = cos[..., None, :], sin[..., None, :]
  rotated = (first * cos - second * sin, second * cos + first * sin)
  return jnp.concatenate(rotated, axis=-1).astype(x.dtype)


def attend(
  queries: chex.Array,
  keys: chex.Array,
  values: chex.Array,
  visible: chex.Array,
) -> chex.Array:
  """Softmax attention with grouped queries; softmax in float32.

  Args:
    queries: [B, T, H, d].
    keys: [B, S, G, d]; likewise values.
    visible: [B, T, S] bool. A query without visible keys gets a finite mean of
      the values, which means nothing.

  Returns:
    [B, T, H, d], of the queries' dtype.
  """
  B, T, H, d = queries.shape
  G = keys.shape[2]
  queries = queries.reshape(B, T, G, H // G, d)
  scores = jnp.einsum(
    'btgmd,bsgd->bgmts', queries, keys, preferred_element_type=jnp.float32
  )
  scores = jnp.where(visible[:, None, None], scores * d**-0.5, HIDDEN_SCORE)
  weights = jax.nn.softmax(scores).astype(values.dtype)
  mixed = jnp.einsum('bgmts,bsgd->btgmd', weights, values)
  return mixed.reshape(B, T, H, d)
