"""The modules of a transformer: norm, attention, MLP, block, and the whole."""

import functools
import math
from collections.abc import Callable
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from rlhf_jax.models import attention, lora, products, rotary
from rlhf_jax.models.attention import Sight
from rlhf_jax.models.config import Norm, TransformerConfig
from rlhf_jax.sharding import BATCH, BY_ROWS, ResidualLayout, constrain

# Up to so many layers the loop over them is unrolled: a training step is faster
# by a third with 2 layers and a quarter with 4, and compiles no slower.
UNROLLED_LAYERS = 4

# (queries, keys, values, kind of sight) -> the heads' output [B, T, H, d], and
# what to keep.
Attend = Callable[..., tuple[chex.Array, Any]]


def normal(deviation: float) -> Callable[..., chex.Array]:
  """An initializer: independent, centred, of one standard deviation.

  It draws a flat array: XLA takes five times as long to compile the draws of
  arrays of several axes.
  """

  def init(key, shape, dtype='float32'):
    drawn = jax.random.normal(key, (math.prod(shape),)).reshape(shape)
    return (deviation * drawn).astype(dtype)

  return init


class Normalise(nn.Module):
  """A norm of the last axis, computed in float32, in x's dtype."""

  norm: Norm
  param_dtype: str = 'float32'

  @nn.compact
  def __call__(self, x: chex.Array) -> chex.Array:
    norm, shape = self.norm, (x.shape[-1],)
    one = nn.initializers.zeros if norm.from_one else nn.initializers.ones
    scale = self.param('scale', one, shape, self.param_dtype)
    wide = x.astype(jnp.float32)
    if norm.from_one:
      scale = 1.0 + scale.astype(jnp.float32)
    if norm.centred:
      wide = wide - jnp.mean(wide, axis=-1, keepdims=True)
    square = jnp.mean(jnp.square(wide), axis=-1, keepdims=True)
    normed = wide * jax.lax.rsqrt(square + norm.epsilon)
    # An einsum is transposed twice on a CPU.
    normed = normed * jnp.broadcast_to(scale, normed.shape)
    if norm.centred:
      zeros = nn.initializers.zeros
      bias = self.param('bias', zeros, shape, self.param_dtype)
      normed = normed + jnp.broadcast_to(bias, normed.shape)
    return normed.astype(x.dtype)


class Attention(nn.Module):
  """Multi-head attention with grouped keys and values."""

  config: TransformerConfig
  layout: ResidualLayout = BY_ROWS

  @nn.compact
  def __call__(
    self, x: chex.Array, sight: Sight, attend: Attend
  ) -> tuple[chex.Array, Any]:
    config, options = self.config, self.config.attention
    in_place = functools.partial(_in_place, self.layout)
    into = normal(config.width**-0.5)
    shape = (config.width, config.heads, config.head_width)
    kv_shape = (config.width, config.kv_heads, config.head_width)
    inner = config.heads * config.head_width
    back = normal((2 * config.layers * inner) ** -0.5)

    def heads(name, shape):
      kernel = self.param(name, into, shape, config.param_dtype)
      kernel = in_place(kernel.astype(x.dtype), 'fsdp', 'tensor')
      projected = jnp.einsum('btd,dhk->bthk', x, kernel)
      projected = _with_adapter(self, projected, name, x)
      if options.bias:
        projected = _with_bias(self, projected, name, shape[1:])
      return constrain(projected, BATCH, None, 'tensor', None)

    def turned(name, projected):
      if options.norms:
        norm = Normalise(config.norm, config.param_dtype, name=f'{name}_norm')
        projected = norm(projected)
      return rotary.rotate(projected, sight.rotation)

    queries = turned('query', heads('query', shape))
    keys = turned('key', heads('key', kv_shape))
    values = heads('value', kv_shape)
    mixed, kept = attend(queries, keys, values, sight.kind)
    output = self.param(
      'output', back, (*shape[1:], config.width), config.param_dtype
    )
    mixed = constrain(mixed, self.layout.rows, None, 'tensor', None)
    output = in_place(output.astype(x.dtype), 'tensor', None, 'fsdp')
    out = jnp.einsum('bthk,hkd->btd', mixed, output)
    out = _with_adapter(self, out, 'output', mixed)
    if options.output_bias:
      out = _with_bias(self, out, 'output', (config.width,))
    return out, kept


class MLP(nn.Module):
  """f(x W) ⊙ x V, or f(x W), times W₂.

  W and V are one parameter: one product instead of two makes a training step of
  the presets `sandbox` and `small_text` faster by a tenth, on a CPU.
  """

  config: TransformerConfig
  layout: ResidualLayout = BY_ROWS

  @nn.compact
  def __call__(self, x: chex.Array) -> chex.Array:
    config, options = self.config, self.config.mlp
    width, inner = config.width, config.mlp_width
    into = normal(width**-0.5)
    back = normal((2 * config.layers * inner) ** -0.5)
    name = 'gate_and_up' if options.gated else 'up'
    shape = (2, inner) if options.gated else (inner,)
    first = self.param(name, into, (width, *shape), config.param_dtype)
    down = self.param('down', back, (inner, width), config.param_dtype)
    axes = ('fsdp', *[None] * (len(shape) - 1), 'tensor')
    first = _in_place(self.layout, first.astype(x.dtype), *axes)
    down = _in_place(self.layout, down.astype(x.dtype), 'tensor', 'fsdp')
    hidden = products.widen(x, first)
    hidden = _with_adapter(self, hidden, name, x)
    if options.bias:
      hidden = _with_bias(self, hidden, name, shape)
    if options.gated:
      hidden = constrain(hidden, self.layout.rows, None, None, 'tensor')
      hidden = _gated(options.activation, hidden)
    else:
      hidden = constrain(hidden, self.layout.rows, None, 'tensor')
      hidden = options.activation(hidden)
    out = hidden @ down
    out = _with_adapter(self, out, 'down', hidden)
    if options.bias:
      out = _with_bias(self, out, 'down', (width,))
    return out


class Block(nn.Module):
  """Attention and the MLP, each on a norm of the residual stream."""

  config: TransformerConfig
  layout: ResidualLayout = BY_ROWS

  @nn.compact
  def __call__(
    self, x: chex.Array, sight: Sight, attend: Attend
  ) -> tuple[chex.Array, Any]:
    """The residual stream [B, T, D] after the block; what `attend` keeps."""
    config, residual = self.config, self.config.residual

    def normed(name, x):
      return Normalise(config.norm, config.param_dtype, name=name)(x)

    mixed, kept = Attention(config, self.layout, name='attention')(
      normed('attention_norm', x), sight, attend
    )
    if residual.output_norms:
      mixed = normed('attention_output_norm', mixed)
    after = constrain(x + mixed, *self.layout)
    out = MLP(config, self.layout, name='mlp')(
      normed('mlp_norm', x if residual.parallel else after)
    )
    if residual.output_norms:
      out = normed('mlp_output_norm', out)
    return constrain(after + out, *self.layout), kept


def _gated(activation, hidden):
  """f(W x) ⊙ V x of both [B, T, 2, F]; made anew for the backward pass.

  So neither f nor its derivative is kept, which is less memory, and on a CPU
  less time than to write and to read them.
  """

  def product(hidden):
    return activation(hidden[:, :, 0]) * hidden[:, :, 1]

  return jax.checkpoint(product, prevent_cse=False)(hidden)


def _in_place(layout, kernel, *axes):
  """A kernel on the axes where it lies, if the layout leaves it there."""
  return kernel if layout.width is None else constrain(kernel, *axes)


def _with_adapter(module, y, name, x):
  """y plus what the adapter of a map of x adds, where it has one."""
  adapter = name + lora.SUFFIX
  if not module.has_variable('params', adapter):
    return y
  return y + lora.product(name, x, module.get_variable('params', adapter))


def _with_bias(module, x, name, shape):
  """x plus the bias of a projection, over all leading axes."""
  zeros = nn.initializers.zeros
  bias = module.param(f'{name}_bias', zeros, shape, module.config.param_dtype)
  return x + jnp.broadcast_to(bias.astype(x.dtype), x.shape)


class Transformer(nn.Module):
  """Embedding, blocks with stacked parameters, final norm, unembedding."""

  config: TransformerConfig

  def setup(self):
    config = self.config
    init = normal(config.width**-0.5)
    table = (config.vocab_size, config.width)
    dtype = config.param_dtype
    self.embedding = self.param('embedding', init, table, dtype)
    if config.positions is not None:
      rows = config.positions.count + config.positions.offset
      shape = (rows, config.width)
      self.positions = self.param('positions', init, shape, dtype)
    # Read by `transformer.unembedding` alone; the trunk of a head has none.
    if self.is_initializing() and not config.tied_embeddings:
      shape = table[::-1]
      self.unembedding = self.param('unembedding', init, shape, dtype)
    self.layers = Block(config)
    self.final_norm = Normalise(config.norm, dtype)

  def embed(
    self,
    tokens: chex.Array,
    positions: chex.Array,
    layout: ResidualLayout = BY_ROWS,
  ) -> chex.Array:
    """[B, T, D] in the compute dtype."""
    config = self.config
    # Ids travel, not the table: a device looks up its own columns of all rows,
    # then rows and columns change places. Cast after, so that the gradients of
    # a token's occurrences are summed in the parameters' dtype.
    table = constrain(self.embedding, 'tensor', 'fsdp')
    x = table[constrain(tokens, 'data', None)]
    x = constrain(x, 'data', None, 'fsdp').astype(config.compute_dtype)
    if config.scaled_embedding:
      x = x * jnp.asarray(config.width**0.5, x.dtype)
    if config.positions is not None:
      table = constrain(self.positions, None, None).astype(x.dtype)
      x = x + table[positions + config.positions.offset]
    return constrain(x, *layout)

  def __call__(
    self, tokens: chex.Array, positions: chex.Array, attend: Attend
  ) -> tuple[chex.Array, Any]:
    """Hidden states [B, T, D], after the final norm; what each layer keeps."""
    config = self.config
    sights = attention.sights(config, positions)
    kinds = None
    if len(sights) > 1:  # One program for all layers, whatever each sees.
      kinds = jnp.asarray(config.sight_of_layer, jnp.int32)
      stacked = jax.tree.map(lambda *each: jnp.stack(each), *sights)

    def step(block, x, kind):
      sight = sights[0]
      if kind is not None:
        sight = jax.tree.map(lambda each: each[kind], stacked)
      return block(x, sight, attend)

    unroll = config.layers if config.layers <= UNROLLED_LAYERS else 1
    if self.is_initializing():
      unroll = 1  # Slow to compile, and run once.
    if config.remat is not None:
      step = nn.remat(step, policy=config.remat, prevent_cse=False)
      unroll = 1  # Unrolled, XLA may undo the recomputation.
    layers = nn.scan(
      step,
      variable_axes={'params': 0},
      split_rngs={'params': True},
      length=config.layers,
      unroll=unroll,
    )
    x, kept = layers(self.layers, self.embed(tokens, positions), kinds)
    return self.final_norm(x), kept

  def finish(self, x: chex.Array) -> chex.Array:
    """The residual stream after the final norm."""
    return self.final_norm(x)
