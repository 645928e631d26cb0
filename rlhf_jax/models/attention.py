"""Attention over arrays: positions, masks, softmax attention.

Letters: H query heads, G heads of keys and values, each shared by H / G query
heads, and d the width of a head.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.models import rotary
from rlhf_jax.models.config import Attention, TransformerConfig

# Finite, so that a query without visible keys has finite values and gradients.
HIDDEN_SCORE = -1e30
PLAIN = Attention()


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


def near(queries: chex.Array, keys: chex.Array, window: chex.Numeric):
  """[T, S] bool, True where key column s is within `window` of t's [T]."""
  return queries[:, None] - keys[None, :] < window


class Sight(NamedTuple):
  """What tells the attention of one layer from another's.

  Attributes:
    rotation: of `rotary.turns`.
    kind: which of `config.sights` this is, [] int32.
  """

  rotation: tuple[chex.Array, chex.Array] | None
  kind: chex.Numeric


def sights(config: TransformerConfig, positions: chex.Array) -> list[Sight]:
  """`config.sights` at positions [B, T]; all of one structure."""
  return [
    Sight(rotary.turns(positions, own, config.head_width), kind)
    for kind, (own, _) in enumerate(config.sights)
  ]


def weigh(
  scores: chex.Array, visible: chex.Array, options: Attention, head_width: int
) -> chex.Array:
  """Softmax over the visible keys [..., S] of products of queries and keys."""
  return jax.nn.softmax(seen_scores(scores, visible, options, head_width))


def seen_scores(
  scores: chex.Array, visible: chex.Array, options: Attention, head_width: int
) -> chex.Array:
  """What `weigh` has the softmax of; HIDDEN_SCORE of keys that are hidden."""
  scale = head_width**-0.5 if options.scale is None else options.scale
  scores = scores * scale
  if options.softcap is not None:
    scores = options.softcap * jnp.tanh(scores / options.softcap)
  return jnp.where(visible, scores, HIDDEN_SCORE)


def attend(
  queries: chex.Array,
  keys: chex.Array,
  values: chex.Array,
  visible: chex.Array,
  options: Attention = PLAIN,
) -> chex.Array:
  """Softmax attention with grouped queries; softmax in float32.

  Args:
    queries: [B, T, H, d].
    keys: [B, S, G, d]; likewise values.
    visible: [B, T, S] bool. A query without visible keys gets a finite mean of
      the values, which means nothing.
    options: scale and softcap of the scores.

  Returns:
    [B, T, H, d], of the queries' dtype.
  """
  B, T, H, d = queries.shape
  G = keys.shape[2]
  queries = queries.reshape(B, T, G, H // G, d)
  scores = jnp.einsum(
    'btgmd,bsgd->bgmts', queries, keys, preferred_element_type=jnp.float32
  )
  weights = weigh(scores, visible[:, None, None], options, d)
  weights = weights.astype(values.dtype)
  mixed = jnp.einsum('bgmts,bsgd->btgmd', weights, values)
  return mixed.reshape(B, T, H, d)
