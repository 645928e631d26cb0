"""Causal attention in chunks of queries: scores [T, T] are never held.

Beside its output the forward pass keeps, of each query, the log of the sum of
its exponentials. From it the backward pass makes the weights of a chunk anew,
and so its memory grows with the length of the rows, not with its square.

Letters: as in `attention`, and M = H / G query heads that share keys, C queries
of a chunk, S keys that a chunk is compared with.

Source: Rabe and Staats 2021, for the chunks; Dao 2023, algorithm 2, for the
backward pass.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.models.attention import HIDDEN_SCORE, PLAIN, near
from rlhf_jax.models.config import Attention

# Queries of a chunk: few enough for their scores to stay near a processor's
# core, enough for products to run at full speed.
CHUNK = 64
ROUND = 8  # Chunks are of so many queries, or a multiple.
# The chunks of a band are compared with the same keys, in one loop. So programs
# do not grow with the rows, and one part in so many of the work is done on keys
# that come later than the query.
BANDS = 8


class Rows(NamedTuple):
  """Which keys queries may attend to, as `attention.visible_keys` reads them.

  Attributes:
    attention_mask: [B, T] bool.
    segment_ids: [B, T] int32, or None.
    kind: which of the windows holds, [] int32.
  """

  attention_mask: chex.Array
  segment_ids: chex.Array | None
  kind: chex.Numeric


class Static(NamedTuple):
  """What a program is made for.

  Attributes:
    windows: of each kind, how many tokens one sees, itself counted, or None.
    scale: of the products.
    softcap: c, scores are c tanh(scores / c); None leaves them.
    chunk: C.
  """

  windows: tuple[int | None, ...]
  scale: float
  softcap: float | None
  chunk: int


def attend(
  queries: chex.Array,
  keys: chex.Array,
  values: chex.Array,
  rows: Rows,
  windows: tuple[int | None, ...] = (None,),
  options: Attention = PLAIN,
  *,
  chunk: int = CHUNK,
) -> chex.Array:
  """`attention.attend` over `attention.visible_keys`, in chunks of queries.

  Args:
    queries: [B, T, H, d].
    keys: [B, T, G, d]; likewise values.
    rows: who may attend to whom.
    windows: of each kind, how many tokens one sees, itself counted; None sees
      all before it.
    options: scale and softcap of the scores.
    chunk: C, at most.

  Returns:
    [B, T, H, d], of the queries' dtype. A query without visible keys has a
    finite mean of values, through which no gradient flows.
  """
  chex.assert_rank([queries, keys, values], 4)
  chex.assert_equal_shape([keys, values])
  B, T, H, d = queries.shape
  G = keys.shape[2]
  if isinstance(rows.kind, int):
    windows, rows = (windows[rows.kind],), rows._replace(kind=jnp.int32(0))
  scale = d**-0.5 if options.scale is None else options.scale
  chunk, length = chunk_and_length(T, chunk)

  def padded(x):
    widths = [(0, 0), (0, length - T)] + [(0, 0)] * (x.ndim - 2)
    return jnp.pad(x, widths) if length > T else x

  grouped = padded(queries).reshape(B, length, G, H // G, d)
  each = rows._replace(
    attention_mask=padded(rows.attention_mask),
    segment_ids=None if rows.segment_ids is None else padded(rows.segment_ids),
  )
  mixed = _attend(
    Static(windows, scale, options.softcap, chunk),
    grouped.transpose(0, 2, 3, 1, 4),
    padded(keys).swapaxes(1, 2),
    padded(values).swapaxes(1, 2),
    each,
  )
  return mixed.transpose(0, 3, 1, 2, 4).reshape(B, length, H, d)[:, :T]


def chunk_and_length(length: int, most: int) -> tuple[int, int]:
  """Queries of a chunk, `most` or fewer, and the length that chunks fill."""
  chunks = -(-length // most)
  chunk = -(-length // (chunks * ROUND)) * ROUND
  return chunk, -(-length // chunk) * chunk


class Band(NamedTuple):
  """The queries [start, stop), compared with the keys [first, stop)."""

  start: int
  stop: int
  first: int


def bands(length: int, chunk: int, window: int | None) -> Iterator[Band]:
  """The bands of a row, each of as many chunks, but for the last."""
  size = -(-length // (BANDS * chunk)) * chunk
  for start in range(0, length, size):
    first = 0 if window is None else max(0, start - window + 1)
    yield Band(start, min(start + size, length), first)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend(static, queries, keys, values, rows):
  """The output, as queries [B, G, M, T, d]; keys and values [B, G, T, d]."""
  return _forward(static, queries, keys, values, rows)[0]


def _forward(static, queries, keys, values, rows):
  arrays = queries, keys, values, rows
  out, lse = _by_window(_mix, static, arrays)
  return out, (arrays, out, lse)


def _backward(static, kept, gradient):
  arrays, out, lse = kept
  product = gradient.astype(jnp.float32) * out.astype(jnp.float32)
  more = gradient, lse, jnp.sum(product, axis=-1)
  return *_by_window(_pull, static, (*arrays, *more)), None


_attend.defvjp(_forward, _backward)


def _by_window(function, static, arrays):
  """`function` for the window of the kind of `rows`."""
  each = [functools.partial(function, static, w) for w in static.windows]
  if len(each) == 1:
    return each[0](*arrays)
  return jax.lax.switch(arrays[3].kind, each, *arrays)


def _mix(static, window, queries, keys, values, rows):
  """The output [B, G, M, T, d] and the logs of sums [B, G, M, T]."""
  outs, sums = [], []
  for band in bands(queries.shape[3], static.chunk, window):
    near_keys, near_values = (
      x[:, :, band.first : band.stop] for x in (keys, values)
    )

    def one(_, begin, band=band, keys=near_keys, values=near_values):
      scores, visible = _scores(
        static, window, queries, keys, rows, band, begin
      )
      scores = jnp.where(visible, scores, HIDDEN_SCORE)
      top = jnp.max(scores, axis=-1, keepdims=True)
      weights = jnp.exp(scores - top)
      total = jnp.sum(weights, axis=-1, keepdims=True)
      mixed = _product('bgqs,bgsd->bgqd', _flat(weights, values.dtype), values)
      mixed = mixed.reshape(*total.shape[:-1], -1) / total
      return None, (mixed.astype(queries.dtype), (top + jnp.log(total))[..., 0])

    _, (out, lse) = _over_chunks(one, None, band, static.chunk)
    outs.append(_joined(out))
    sums.append(_joined(lse))
  return jnp.concatenate(outs, axis=3), jnp.concatenate(sums, axis=3)


def _pull(static, window, queries, keys, values, rows, gradient, lse, shift):
  """The gradients of queries, keys and values.

  Args:
    static: as of `_attend`; likewise the arrays.
    window: of the kind.
    gradient: [B, G, M, T, d] of the output.
    lse: [B, G, M, T] logs of sums.
    shift: [B, G, M, T] products of output and gradient.
  """
  of_queries = []
  turned = (*keys.shape[:2], keys.shape[3], keys.shape[2])
  of_keys, of_values = jnp.zeros((2, *turned), jnp.float32)
  for band in bands(queries.shape[3], static.chunk, window):
    span = slice(band.first, band.stop)
    near_keys, near_values = keys[:, :, span], values[:, :, span]

    def one(sums, begin, band=band, keys=near_keys, values=near_values):
      chunk = functools.partial(_chunk, begin=begin, size=static.chunk)
      scores, visible = _scores(
        static, window, queries, keys, rows, band, begin
      )
      weights = jnp.exp(scores - chunk(lse)[..., None])
      weights = jnp.where(visible, weights, 0.0)
      into = _flat(chunk(gradient))
      products = _product('bgqd,bgsd->bgqs', into, values)
      # Of the scores before they are scaled and capped.
      cotangent = products.reshape(scores.shape) - chunk(shift)[..., None]
      cotangent = weights * cotangent * static.scale
      if static.softcap is not None:
        cotangent = cotangent * (1.0 - jnp.square(scores / static.softcap))
      weights = _flat(weights, values.dtype)
      cotangent = _flat(cotangent, keys.dtype)
      of_keys, of_values = sums
      # Sums are [d, S], so that weights [C, S] need no transpose.
      of_values += _product('bgqd,bgqs->bgds', into, weights)
      of_keys += _product('bgqd,bgqs->bgds', _flat(chunk(queries)), cotangent)
      found = _product('bgqs,bgsd->bgqd', cotangent, keys)
      found = found.reshape(chunk(queries).shape)
      return (of_keys, of_values), found.astype(queries.dtype)

    sums = of_keys[..., span], of_values[..., span]
    sums, found = _over_chunks(one, sums, band, static.chunk)
    of_keys, of_values = (
      jax.lax.dynamic_update_slice_in_dim(whole, part, band.first, axis=3)
      for whole, part in zip((of_keys, of_values), sums, strict=True)
    )
    of_queries.append(_joined(found))
  return (
    jnp.concatenate(of_queries, axis=3),
    of_keys.swapaxes(2, 3).astype(keys.dtype),
    of_values.swapaxes(2, 3).astype(values.dtype),
  )


def _scores(static, window, queries, keys, rows, band, begin):
  """[B, G, M, C, S] float32 scores of a chunk, and whether keys are visible."""
  chunk = _chunk(queries, begin, static.chunk)
  scores = _product('bgqd,bgsd->bgqs', _flat(chunk), keys) * static.scale
  scores = scores.reshape(*chunk.shape[:-1], keys.shape[2])
  if static.softcap is not None:
    scores = static.softcap * jnp.tanh(scores / static.softcap)
  own = begin + jnp.arange(static.chunk, dtype=jnp.int32)
  others = jnp.arange(band.first, band.stop, dtype=jnp.int32)
  seen = others[None, :] <= own[:, None]
  if window is not None:
    seen &= near(own, others, window)
  visible = seen[None] & rows.attention_mask[:, None, band.first : band.stop]
  if rows.segment_ids is not None:
    segments = _chunk(rows.segment_ids, begin, static.chunk, axis=1)
    others = rows.segment_ids[:, None, band.first : band.stop]
    visible &= segments[:, :, None] == others
  return scores, visible[:, None, None]


def _over_chunks(
  one: Callable[..., Any], carry: Any, band: Band, chunk: int
) -> tuple[Any, Any]:
  """A scan of `one` over the first columns of a band's chunks."""
  begins = range(band.start, band.stop, chunk)
  if len(begins) > 1:
    return jax.lax.scan(one, carry, jnp.asarray(begins, jnp.int32))
  carry, found = one(carry, band.start)
  return carry, jax.tree.map(lambda x: x[None], found)


def _chunk(x, begin, size, axis=3):
  return jax.lax.dynamic_slice_in_dim(x, begin, size, axis)


def _flat(x, dtype=None):
  """[B, G, M · C, …]: one product for all queries that share keys."""
  x = x if dtype is None else x.astype(dtype)
  return x.reshape(*x.shape[:2], -1, x.shape[-1])


def _joined(chunks):
  """[B, G, M, n · C, …] of n chunks [n, B, G, M, C, …]."""
  B, G, M = chunks.shape[1:4]
  return jnp.moveaxis(chunks, 0, 3).reshape(B, G, M, -1, *chunks.shape[5:])


def _product(subscripts, left, right):
  return jnp.einsum(subscripts, left, right, preferred_element_type=jnp.float32)
