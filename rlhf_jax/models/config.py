"""What a decoder-only transformer is made of, as data.

The defaults are those of Llama: RMSNorm, RoPE, grouped queries, SwiGLU.
"""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import chex
import jax

from rlhf_jax.models.rotary import Rotary, Short
from rlhf_jax.types.calls import Called
from rlhf_jax.types.rules import Count, Divides, Natural, Positive
from rlhf_jax.types.values import checked

DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Norm:
  """x / sqrt(mean(x²) + ε) · scale, computed in float32.

  Attributes:
    epsilon: ε.
    centred: the mean of x is taken off first, and a bias added at the end
      (layer norm, Ba et al. 2016); else Zhang and Sennrich 2019, eq. 4.
    from_one: the parameter is how far the scale is from 1.
  """

  epsilon: Positive = 1e-6
  centred: bool = False
  from_one: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Local:
  """Layers whose tokens see only a few before them.

  Attributes:
    window: how many tokens one sees, itself counted.
    layers: of each layer, whether it is local.
    rotary: of the local layers.
  """

  window: Count
  layers: tuple[bool, ...]
  rotary: Rotary | None = Rotary()


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Positions:
  """Learned vectors that are added to the embeddings, one for each position.

  Attributes:
    count: how many tokens a row may have.
    offset: rows of the table before that of the first token.
  """

  count: Count
  offset: Natural = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Attention:
  """What is done around softmax attention.

  Attributes:
    bias: queries, keys and values have one.
    output_bias: the output has one.
    norms: queries and keys are normed, each head by itself, before they turn.
    scale: of the products; None is d^(−1/2).
    softcap: c, scores are c tanh(scores / c) before the mask; None leaves them.
  """

  bias: bool = False
  output_bias: bool = False
  norms: bool = False
  scale: Positive | None = None
  softcap: Positive | None = None


def silu(x: chex.Array) -> chex.Array:
  """x σ(x) (Elfwing et al. 2017)."""
  return jax.nn.silu(x)


def relu(x: chex.Array) -> chex.Array:
  """max(x, 0)."""
  return jax.nn.relu(x)


def gelu(x: chex.Array) -> chex.Array:
  """x Φ(x) (Hendrycks and Gimpel 2016)."""
  return jax.nn.gelu(x, approximate=False)


def gelu_tanh(x: chex.Array) -> chex.Array:
  """The approximation of `gelu` by a tanh."""
  return jax.nn.gelu(x, approximate=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class MLP:
  """f(x W) ⊙ x V or f(x W), times W₂.

  Attributes:
    activation: f.
    gated: there is a V (Shazeer 2020, eq. 6).
    bias: W, V and W₂ have one.
  """

  activation: Annotated[Callable[..., chex.Array], Called(1)] = silu
  gated: bool = True
  bias: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Residual:
  """How attention and MLP meet the residual stream, each on a norm of it.

  Attributes:
    parallel: both read the stream as it enters the block.
    output_norms: what they give is normed as well before it is added.
  """

  parallel: bool = False
  output_norms: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class TransformerConfig:
  """A decoder-only transformer.

  Attributes:
    vocab_size: V, how many tokens there are.
    layers: how many blocks.
    width: D, of the residual stream.
    heads: query heads.
    kv_heads: key and value heads, a divisor of `heads`.
    head_width: d, of one head.
    mlp_width: hidden width of a block's MLP.
    norm: of all norms.
    rotary: None turns nothing.
    local: layers with a window; None if all see all that is before.
    positions: learned ones; None has none.
    attention, mlp, residual: of every block.
    scaled_embedding: embeddings are multiplied by √D.
    tied_embeddings: logits read the embedding table, not a matrix of their own.
    logit_softcap: c, logits are c tanh(logits / c); None leaves them.
    param_dtype: of the parameters, 'float32' or 'bfloat16'.
    compute_dtype: of activations and matrix products likewise. Norms, softmax
      and logits are float32. Frozen roles, which are only computed with, are
      held in it where it is narrower, which changes no number.
    attention_core: what computes attention within rows, one of `models.cores`;
      None is what fits the length of the rows and the platform.
    remat: which residuals the backward pass keeps instead of recomputing, one
      of `jax.checkpoint_policies`; None keeps all.
  """

  vocab_size: Count
  layers: Count
  width: Count
  heads: Count
  kv_heads: Annotated[Count, Divides('heads')]
  head_width: Count
  mlp_width: Count
  norm: Norm = Norm()
  rotary: Rotary | None = Rotary()
  local: Local | None = None
  positions: Positions | None = None
  attention: Attention = Attention()
  mlp: MLP = MLP()
  residual: Residual = Residual()
  scaled_embedding: bool = False
  tied_embeddings: bool = True
  logit_softcap: Positive | None = None
  param_dtype: str = 'float32'
  compute_dtype: str = 'float32'
  attention_core: Annotated[Callable[..., Any], Called(3)] | None = None
  remat: Annotated[Callable[..., bool], Called(1)] | None = None

  def __post_init__(self):
    for name in ('param_dtype', 'compute_dtype'):
      if getattr(self, name) not in DTYPES:
        raise ValueError(
          f'{name} must be {" or ".join(DTYPES)}, got {getattr(self, name)!r}.'
        )
    if self.local and len(self.local.layers) != self.layers:
      raise ValueError(
        f'local.layers says of {len(self.local.layers)} layers whether they '
        f'are local, and there are {self.layers}.'
      )
    widths = [r and r.turned(self.head_width) for r, _ in self.sights]
    for (rotary, _), turned in zip(self.sights, widths, strict=True):
      if rotary is None:
        continue
      if turned % 2 or turned > self.head_width:
        what = 'rotary.width' if rotary.width else 'head_width'
        raise ValueError(
          f'{what} must be even, as RoPE turns pairs, and within head_width '
          f'{self.head_width}; got {turned}.'
        )
      factors = getattr(rotary.scaling, 'factors', ())
      if factors and len(factors) != turned // 2:
        raise ValueError(
          f'{len(factors)} factors are given for the {turned // 2} pairs of a '
          'head that turn.'
        )
    if len(set(widths)) > 1:
      raise ValueError(
        'local.rotary must turn as much of a head as rotary does, since all '
        'layers run as one loop.'
      )

  def first(self, layers: int) -> 'TransformerConfig':
    """The same, cut off after so many layers.

    Raises:
      ValueError: it has fewer.
    """
    if layers > self.layers:
      raise ValueError(
        f'the first {layers} layers are asked for, and the model has '
        f'{self.layers}.'
      )
    local = self.local and dataclasses.replace(
      self.local, layers=self.local.layers[:layers]
    )
    if local and not any(local.layers):
      local = None
    return dataclasses.replace(self, layers=layers, local=local)

  @property
  def sights(self) -> tuple[tuple[Rotary | None, int | None], ...]:
    """(rotation, window) of each kind of layer: global, local, or both."""
    if self.local is None or not any(self.local.layers):
      return ((self.rotary, None),)
    local = (self.local.rotary, self.local.window)
    return (local,) if all(self.local.layers) else ((self.rotary, None), local)

  @property
  def windows(self) -> tuple[int | None, ...]:
    """Of each of `sights`, how many tokens one sees; None sees all before."""
    return tuple(window for _, window in self.sights)

  @property
  def longest(self) -> int | None:
    """How many tokens a row may have, if there is a bound."""
    bounds = [self.positions.count] if self.positions else []
    for rotary, _ in self.sights:
      if rotary and isinstance(rotary.scaling, Short):
        bounds.append(rotary.scaling.original)
    return min(bounds, default=None)

  @property
  def sight_of_layer(self) -> tuple[int, ...]:
    """Which of `sights` each layer has."""
    if len(self.sights) == 1:
      return (0,) * self.layers
    return tuple(map(int, self.local.layers))
