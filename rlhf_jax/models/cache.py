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
  """The keys and values of one layer.

  Attributes:
    prompt_keys: [B, G, P, d]; likewise prompt_values.
    keys: [B · K, G, R, d], of the responses; likewise values.
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
    keys, values = (
      constrain(jnp.swapaxes(x, 1, 2), BATCH, 'tensor') for x in (keys, values)
    )
    B, G, _, d = keys.shape
    shape = (B * samples, G, max_response, d)
    empty = constrain(jnp.zeros(shape, keys.dtype), BATCH, 'tensor')
    return cls(keys, values, empty, empty)

  def store(
    self, step: chex.Array, keys: chex.Array, values: chex.Array
  ) -> 'LayerCache':
    """The cache with one more token of every response, [B, K, G, d] each."""

    def put(stored, new):
      new = new.reshape(-1, *new.shape[2:])[:, :, None]
      return jax.lax.dynamic_update_slice_in_dim(stored, new, step, axis=2)

    return self.replace(
      keys=put(self.keys, keys), values=put(self.values, values)
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
    G, P = self.prompt_keys.shape[1:3]
    grouped = (G, H // G)
    queries = queries.reshape(B, K, *grouped, d)
    in_prompt = jnp.einsum(
      'bkgmd,bgpd->bkgmp',
      queries,
      self.prompt_keys,
      preferred_element_type=jnp.float32,
    )
    in_response = jnp.einsum(
      'ngmd,ngrd->ngmr',
      queries.reshape(B * K, *grouped, d),
      self.keys,
      preferred_element_type=jnp.float32,
    )
    in_prompt = in_prompt.reshape(B * K, *grouped, P)
    scores = jnp.concatenate([in_prompt, in_response], axis=-1)
    weights = attention.weigh(scores, visible[:, None, None], options, d)
    weights = weights.astype(queries.dtype)
    of_prompt = weights[..., :P].reshape(B, K, *grouped, P)
    of_response = weights[..., P:]
    mixed = jnp.einsum('bkgmp,bgpd->bkgmd', of_prompt, self.prompt_values)
    mixed = mixed.reshape(B, K, H, d)
    own = jnp.einsum('ngmr,ngrd->ngmd', of_response, self.values)
    return mixed + own.reshape(B, K, H, d)


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
    slots = jnp.arange(self.layers[0].keys.shape[2]) <= self.step
    in_response = jnp.broadcast_to(slots, (in_prompt.shape[0], slots.shape[0]))
    visible = jnp.concatenate([in_prompt, in_response], axis=-1)
    if window is None:
      return visible
    columns = jnp.arange(visible.shape[1])
    own = self.prompt_mask.shape[1] + self.step
    return visible & attention.near(own[None], columns, window)
