"""The sizes of a transformer."""

import dataclasses
from collections.abc import Callable
from typing import Annotated

from rlhf_jax.types.calls import Called
from rlhf_jax.types.rules import Count, Divides, Positive, Range
from rlhf_jax.types.values import checked

COMPUTE_DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class TransformerConfig:
  """A decoder-only transformer: RMSNorm, RoPE, grouped queries, SwiGLU.

  Attributes:
    vocab_size: V, how many tokens there are.
    layers: how many blocks.
    width: D, of the residual stream.
    heads: query heads.
    kv_heads: key and value heads, a divisor of `heads`.
    head_width: d, of one head; even, for RoPE.
    mlp_width: hidden width of a block's MLP.
    rope_base: base of the rotary wavelengths.
    norm_epsilon: added to the mean square inside RMSNorm.
    tied_embeddings: logits read the embedding table, not a matrix of their own.
    logit_softcap: c, logits are c tanh(logits / c); None leaves them.
    compute_dtype: of activations and matrix products, 'float32' or
      'bfloat16'. Parameters are float32, and so are norms, softmax, logits.
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
  rope_base: Annotated[float, Range(above=1.0)] = 10_000.0
  norm_epsilon: Positive = 1e-6
  tied_embeddings: bool = True
  logit_softcap: Positive | None = None
  compute_dtype: str = 'float32'
  remat: Annotated[Callable[..., bool], Called(1)] | None = None

  def __post_init__(self):
    if self.head_width % 2:
      raise ValueError(
        f'head_width must be even, as RoPE turns pairs; got {self.head_width}.'
      )
    if self.compute_dtype not in COMPUTE_DTYPES:
      raise ValueError(
        f'compute_dtype must be {" or ".join(COMPUTE_DTYPES)}, got '
        f'{self.compute_dtype!r}.'
      )
