"""The modules of a block: norm, attention, MLP."""

import math
from collections.abc import Callable
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from rlhf_jax.models import attention
from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.sharding import BATCH, constrain

# (queries, keys, values) -> what the heads read [B, T, H, d], and what is kept.
Attend = Callable[[chex.Array, chex.Array, chex.Array], tuple[chex.Array, Any]]


def normal(deviation: float) -> Callable[..., chex.Array]:
  """An initializer: independent, centred, of one standard deviation.

  It draws a flat array: XLA takes five times as long to compile the draws of
  arrays of several axes.
  """

  def init(key, shape):
    return deviation * jax.random.normal(key, (math.prod(shape),)).reshape(
      shape
    )

  return init


class RMSNorm(nn.Module):
  """x / sqrt(mean(x²) + ε) · scale, computed in float32, in x's dtype.

  Source: Zhang and Sennrich 2019, eq. 4.
  """

  epsilon: float

  @nn.compact
  def __call__(self, x: chex.Array) -> chex.Array:
    scale = self.param('scale', nn.initializers.ones, (x.shape[-1],))
    wide = x.astype(jnp.float32)
    square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    normed = wide * jax.lax.rsqrt(square + self.epsilon)
    return jnp.einsum('...d,d->...d', normed, scale).astype(x.dtype)


class Attention(nn.Module):
  """Projects to heads, turns queries and keys, attends, projects back."""

  config: TransformerConfig

  @nn.compact
  def __call__(
    self,
    x: chex.Array,
    turns: tuple[chex.Array, chex.Array],
    attend: Attend,
  ) -> tuple[chex.Array, Any]:
    config, dtype = self.config, x.dtype
    into = normal(config.width**-0.5)
    shape = (config.width, config.heads, config.head_width)
    kv_shape = (config.width, config.kv_heads, config.head_width)
    inner = config.heads * config.head_width
    back = normal((2 * config.layers * inner) ** -0.5)

    def heads(name, shape):
      kernel = self.param(name, into, shape).astype(dtype)
      projected = jnp.einsum('btd,dhk->bthk', x, kernel)
      return constrain(projected, BATCH, None, 'tensor', None)

    queries = attention.rotate(heads('query', shape), *turns)
    keys = attention.rotate(heads('key', kv_shape), *turns)
    mixed, kept = attend(queries, keys, heads('value', kv_shape))
    output = self.param('output', back, (*shape[1:], config.width))
    return jnp.einsum('bthk,hkd->btd', mixed, output.astype(dtype)), kept


class MLP(nn.Module):
  """SwiGLU: (silu(x W) ⊙ x V) W₂. Source: Shazeer 2020, eq. 6.

  W and V are one parameter, as one product is faster than two: by a tenth of a
  training step of the presets `sandbox` and `small_text` on a CPU.
  """

  config: TransformerConfig

  @nn.compact
  def __call__(self, x: chex.Array) -> chex.Array:
    width, inner = self.config.width, self.config.mlp_width
    into = normal(width**-0.5)
    back = normal((2 * self.config.layers * inner) ** -0.5)
    gate_and_up = self.param('gate_and_up', into, (width, 2, inner))
    down = self.param('down', back, (inner, width))
    hidden = jnp.einsum('btd,dif->btif', x, gate_and_up.astype(x.dtype))
    hidden = constrain(hidden, BATCH, None, None, 'tensor')
    return (nn.silu(hidden[:, :, 0]) * hidden[:, :, 1]) @ down.astype(x.dtype)


class Block(nn.Module):
  """Attention, then the MLP, each on a norm of the residual stream."""

  config: TransformerConfig

  @nn.compact
  def __call__(
    self,
    x: chex.Array,
    turns: tuple[chex.Array, chex.Array],
    attend: Attend,
  ) -> tuple[chex.Array, Any]:
    """The stream [B, T, D] after this block, and what `attend` keeps."""
    epsilon = self.config.norm_epsilon
    normed = RMSNorm(epsilon, name='attention_norm')(x)
    mixed, kept = Attention(self.config, name='attention')(
      normed, turns, attend
    )
    x = constrain(x + mixed, BATCH, None, None)
    normed = RMSNorm(epsilon, name='mlp_norm')(x)
    x = x + MLP(self.config, name='mlp')(normed)
    return constrain(x, BATCH, None, None), kept
