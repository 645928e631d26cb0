"""The keys and values of one layer for decoding K responses to each prompt.

A prompt's keys and values are stored once and read by its K responses; each
response has its own beside. Each layer has its own arrays, and the responses of
all prompts share one axis: so XLA updates them in place.
"""

import itertools
from collections.abc import Callable

import chex
import flax.struct
import jax
import jax.numpy as jnp

from rlhf_jax.models import attention
from rlhf_jax.models.config import Attention
from rlhf_jax.sharding import BATCH, constrain, platform

# Columns of responses that are always read. Of more, as many again are a block
# of their own, then twice as many, and so on: each is read where it is needed.
FIRST_BLOCK = 256


def blocks(columns: int) -> tuple[int, ...]:
  """Sizes of the blocks that so many columns of responses are stored in.

  All in one on a GPU, where each condition would wait for the host.
  """
  if platform() == 'gpu':
    return (columns,)
  sizes = [min(columns, FIRST_BLOCK)]
  while sum(sizes) < columns:
    sizes.append(min(sum(sizes), columns - sum(sizes)))
  return tuple(sizes)


@flax.struct.dataclass
class LayerCache:
  """The keys and values of one layer, as the products with them read them.

  Attributes:
    prompt_keys: [B, G, d, P].
    prompt_values: [B, G, P, d].
    keys: of the responses, block by block [B · K, G, d, n], R columns in all.
    values: likewise [B · K, G, n, d].
  """

  prompt_keys: chex.Array
  prompt_values: chex.Array
  keys: tuple[chex.Array, ...]
  values: tuple[chex.Array, ...]

  @classmethod
  def of_prompt(
    cls,
    keys: chex.Array,
    values: chex.Array,
    samples: int,
    max_response: int,
  ) -> 'LayerCache':
    """A cache of prompts' keys and values [B, P, G, d], responses empty."""
    B, _, G, d = keys.shape
    rows, sizes = B * samples, blocks(max_response)
    return jax.tree.map(
      lambda x: constrain(x, BATCH, 'tensor'),
      cls(
        prompt_keys=keys.transpose(0, 2, 3, 1),
        prompt_values=values.swapaxes(1, 2),
        keys=tuple(jnp.zeros((rows, G, d, n), keys.dtype) for n in sizes),
        values=tuple(jnp.zeros((rows, G, n, d), keys.dtype) for n in sizes),
      ),
    )

  def store(
    self, column: chex.Array, keys: chex.Array, values: chex.Array
  ) -> 'LayerCache':
    """The cache with a token of every response, [B, K, G, d], in a column."""

    def put(parts, new, axis):
      new = jnp.expand_dims(new.reshape(-1, *new.shape[2:]), axis)
      if len(parts) == 1:
        return (_updated(parts[0], new, column, axis),)
      return tuple(
        _updated_if(part, new, column - first, axis)
        for part, first in zip(parts, _firsts(parts, axis), strict=True)
      )

    return self.replace(
      keys=put(self.keys, keys, 3), values=put(self.values, values, 2)
    )

  def attend(
    self,
    queries: chex.Array,
    visible: chex.Array,
    in_use: chex.Array,
    options: Attention,
  ) -> chex.Array:
    """Attention over prompt and response at once; softmax in float32.

    Args:
      queries: [B, K, H, d].
      visible: [B · K, P + R] bool, the keys that each may attend to.
      in_use: [R] bool, the columns that any may attend to.
      options: scale and softcap of the scores.

    Returns:
      [B, K, H, d], of the queries' dtype.
    """
    B, K, H, d = queries.shape
    G, P = self.prompt_values.shape[1:3]
    queries = queries.reshape(B, K, G, H // G, d)
    own = queries.reshape(B * K, G, H // G, d)

    def by_prompt(x):  # [B, K, G, M, n] -> [B, G, K · M, n]
      return x.swapaxes(1, 2).reshape(B, G, K * H // G, -1)

    def by_response(x):  # [B, G, K · M, n] -> [B · K, G, M, n]
      x = x.reshape(B, G, K, H // G, -1).swapaxes(1, 2)
      return x.reshape(B * K, G, H // G, -1)

    def sums(scores, visible, mix):
      scores = attention.seen_scores(scores, visible[:, None, None], options, d)
      return Sums.of(scores, lambda weights: mix(weights.astype(queries.dtype)))

    def over_prompt(weights):
      weights = weights.reshape(B, K, G, H // G, P)
      return by_response(products(by_prompt(weights), self.prompt_values))

    scores = by_response(products(by_prompt(queries), self.prompt_keys))
    every = sums(scores, visible[:, :P], over_prompt)
    for number, (keys, values, first) in enumerate(
      zip(self.keys, self.values, _firsts(self.keys, 3), strict=True)
    ):
      seen = visible[:, P + first :][:, : keys.shape[3]]

      def read(every, keys=keys, values=values, seen=seen):
        found = sums(products(own, keys), seen, lambda w: products(w, values))
        return every.joined(found)

      if number == 0:
        every = read(every)
      else:
        needed = jnp.any(in_use[first : first + keys.shape[3]])
        every = jax.lax.cond(needed, read, lambda x: x, every)
    mixed = every.mixed / every.total
    return mixed.astype(queries.dtype).reshape(B, K, H, d)


@flax.struct.dataclass
class Sums:
  """Softmax attention over some of the keys, to be joined with others.

  Attributes:
    top: [N, G, M, 1], the highest score.
    total: [N, G, M, 1], the sum of exp(score - top).
    mixed: [N, G, M, d], of values by these weights.
  """

  top: chex.Array
  total: chex.Array
  mixed: chex.Array

  @classmethod
  def of(
    cls, scores: chex.Array, mix: Callable[[chex.Array], chex.Array]
  ) -> 'Sums':
    """Of scores [N, G, M, S]; `mix` is the product of weights with values."""
    top = jnp.max(scores, axis=-1, keepdims=True)
    weights = jnp.exp(scores - top)
    return cls(top, jnp.sum(weights, axis=-1, keepdims=True), mix(weights))

  def joined(self, other: 'Sums') -> 'Sums':
    """Over the keys of both."""
    top = jnp.maximum(self.top, other.top)
    here, there = jnp.exp(self.top - top), jnp.exp(other.top - top)
    return Sums(
      top,
      self.total * here + other.total * there,
      self.mixed * here + other.mixed * there,
    )


def _firsts(parts, axis):
  """The first column of each block."""
  return [0, *itertools.accumulate(x.shape[axis] for x in parts[:-1])]


def _updated(stored, new, column, axis):
  return jax.lax.dynamic_update_slice_in_dim(stored, new, column, axis)


def _updated_if(stored, new, column, axis):
  """`_updated`, where the block has such a column."""
  inside = (column >= 0) & (column < stored.shape[axis])
  column = jnp.clip(column, 0, stored.shape[axis] - 1)
  old = jax.lax.dynamic_slice_in_dim(stored, column, 1, axis)
  return _updated(stored, jnp.where(inside, new, old), column, axis)


def products(rows: chex.Array, matrices: chex.Array) -> chex.Array:
  """[N, G, M, b] float32 products of [N, G, M, a] rows with [N, G, a, b]."""
  return jnp.einsum(
    'ngma,ngab->ngmb', rows, matrices, preferred_element_type=jnp.float32
  )
