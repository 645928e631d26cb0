"""The cache of keys and values for decoding K responses to each prompt.

A prompt's keys and values are stored once and read by its K responses; each
response has its own beside. Each layer has its own arrays, and the responses of
all prompts share one axis: so XLA updates them in place and copies nothing.
"""

import chex
import flax.struct
import jax
import jax.numpy as jnp

from rlhf_jax.models import attention
from rlhf_jax.models.config import Attention
from rlhf_jax.sharding import BATCH, constrain


@flax.struct.dataclass
class LayerCache:
  """The keys and values of one layer, as the products with them read them.

  Attributes:
    prompt_keys: [B, G, d, P].
    prompt_values: [B, G, P, d].
    keys: [B · K, G, d, R], of the responses.
    values: [B · K, G, R, d].
  """

  prompt_keys: chex.Array
  prompt_values: chex.Array
  keys: chex.Array
  values: chex.Array

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
    arrays = (
      keys.transpose(0, 2, 3, 1),
      values.swapaxes(1, 2),
      jnp.zeros((B * samples, G, d, max_response), keys.dtype),
      jnp.zeros((B * samples, G, max_response, d), keys.dtype),
    )
    return cls(*(constrain(x, BATCH, 'tensor') for x in arrays))

  def store(
    self, step: chex.Array, keys: chex.Array, values: chex.Array
  ) -> 'LayerCache':
    """The cache with one more token of every response, [B, K, G, d] each."""

    def put(stored, new, axis):
      new = jnp.expand_dims(new.reshape(-1, *new.shape[2:]), axis)
      return jax.lax.dynamic_update_slice_in_dim(stored, new, step, axis)

    return self.replace(
      keys=put(self.keys, keys, 3), values=put(self.values, values, 2)
    )

  def attend(
    self, queries: chex.Array, visible: chex.Array, options: Attention
  ) -> chex.Array:
    """Attention over prompt and response at once; softmax in float32.

    Args:
      queries: [B, K, H, d].
      visible: [B · K, P + R] bool, the keys that each may attend to.
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

    in_prompt = by_response(products(by_prompt(queries), self.prompt_keys))
    scores = jnp.concatenate([in_prompt, products(own, self.keys)], axis=-1)
    weights = attention.weigh(scores, visible[:, None, None], options, d)
    weights = weights.astype(queries.dtype)
    of_prompt = weights[..., :P].reshape(B, K, G, H // G, P)
    mixed = by_response(products(by_prompt(of_prompt), self.prompt_values))
    mixed += products(weights[..., P:], self.values)
    return mixed.astype(queries.dtype).reshape(B, K, H, d)


def products(rows: chex.Array, matrices: chex.Array) -> chex.Array:
  """[N, G, M, b] float32 products of [N, G, M, a] rows with [N, G, a, b]."""
  return jnp.einsum(
    'ngma,ngab->ngmb', rows, matrices, preferred_element_type=jnp.float32
  )


@flax.struct.dataclass
class Cache:
  """The state of decoding that a transformer needs.

  Attributes:
    layers: keys and values, layer by layer.
    prompt_mask: [B, P] bool, True on real tokens.
    step: [] int32, how many tokens of the responses are stored.
  """

  layers: tuple[LayerCache, ...]
  prompt_mask: chex.Array
  step: chex.Array

  def positions(self, samples: int) -> chex.Array:
    """[B, K] int32 position of the next token."""
    lengths = jnp.sum(self.prompt_mask, axis=-1, dtype=jnp.int32)
    return jnp.repeat(lengths[:, None] + self.step, samples, axis=1)

  def visible(self, samples: int, window: int | None = None) -> chex.Array:
    """[B · K, P + R] bool, the keys that the next token may attend to.

    With a window, only those of so many columns, its own the last.
    """
    in_prompt = jnp.repeat(self.prompt_mask, samples, axis=0)
    slots = jnp.arange(self.layers[0].values.shape[2]) <= self.step
    in_response = jnp.broadcast_to(slots, (in_prompt.shape[0], slots.shape[0]))
    visible = jnp.concatenate([in_prompt, in_response], axis=-1)
    if window is None:
      return visible
    columns = jnp.arange(visible.shape[1])
    own = self.prompt_mask.shape[1] + self.step
    return visible & attention.near(own[None], columns, window)
