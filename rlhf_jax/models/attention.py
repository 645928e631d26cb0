"""Attention over arrays: positions, who sees whom, rotation, the mixture."""

import chex
import jax
import jax.numpy as jnp

# Finite, so that a query with no key to see stays finite, in gradients too.
HIDDEN_SCORE = -1e30


def positions_from_mask(
  attention_mask: chex.Array, segment_ids: chex.Array | None = None
) -> chex.Array:
  """[B, T] int32 place of each token among the real tokens of its segment.

  Padding takes the place of the token before it (0 at the start).

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
  """[B, T, T] bool, True where query t may look at key s.

  A query sees the real tokens of its own segment up to itself:

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

  Pair i of a head turns by position · base^(−2i / d).

  Source: Su et al. 2021, section 3.2.2.
  """
  exponents = jnp.arange(0, head_width, 2, dtype=jnp.float32) / head_width
  angles = jnp.einsum(
    '...,i->...i', positions.astype(jnp.float32), base**-exponents
  )
  return jnp.cos(angles), jnp.sin(angles)


def rotate(x: chex.Array, cos: chex.Array, sin: chex.Array) -> chex.Array:
  """Turns each pair (i, i + d / 2) of heads x [..., H, d] by its angle.

  Args:
    x: [..., H, d] queries or keys.
    cos: [..., d / 2] from `rotary`; likewise sin.

  Returns:
    [..., H, d], of x's dtype.
  """
  first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
  cos, sin = cos[..., None, :], sin[..., None, :]
  turned = (first * cos - second * sin, second * cos + first * sin)
  return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def attend(
  queries: chex.Array,
  keys: chex.Array,
  values: chex.Array,
  visible: chex.Array,
) -> chex.Array:
  """Softmax attention with grouped queries; softmax in float32.

  Args:
    queries: [B, T, H, d].
    keys: [B, S, G, d], each shared by H / G queries; likewise values.
    visible: [B, T, S] bool. A query that sees nothing gets some finite mixture.

  Returns:
    [B, T, H, d], of the queries' dtype.
  """
  b, t, h, d = queries.shape
  groups = keys.shape[2]
  queries = queries.reshape(b, t, groups, h // groups, d)
  scores = jnp.einsum(
    'btgmd,bsgd->bgmts', queries, keys, preferred_element_type=jnp.float32
  )
  scores = jnp.where(visible[:, None, None], scores * d**-0.5, HIDDEN_SCORE)
  weights = jax.nn.softmax(scores).astype(values.dtype)
  mixed = jnp.einsum('bgmts,bsgd->btgmd', weights, values)
  return mixed.reshape(b, t, h, d)
