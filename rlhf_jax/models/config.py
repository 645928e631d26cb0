"""The sizes of a transformer."""

import dataclasses
from collections.abc import Callable

COMPUTE_DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True, kw_only=True)
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

  vocab_size: int
  layers: int
  width: int
  heads: int
  kv_heads: int
  head_width: int
  mlp_width: int
  rope_base: float = 10_000.0
  norm_epsilon: float = 1e-6
  tied_embeddings: bool = True
  logit_softcap: float | None = None
  compute_dtype: str = 'float32'
  remat: Callable[..., bool] | None = None

  def __post_init__(self):
    sizes = 'vocab_size layers width heads kv_heads head_width mlp_width'
    for name in sizes.split():
      if getattr(self, name) < 1:
        raise ValueError(f'{name} must be positive, got {getattr(self, name)}.')
    if self.heads % self.kv_heads:
      raise ValueError(
        f'{self.heads} heads cannot share {self.kv_heads} kv_heads evenly; '
        'kv_heads must divide heads.'
      )
    if self.head_width % 2:
      raise ValueError(
        f'head_width must be even, as RoPE turns pairs; got {self.head_width}.'
      )
    if self.rope_base <= 1.0 or self.norm_epsilon <= 0.0:
      raise ValueError(
        f'rope_base must be above 1 and norm_epsilon above 0, got '
        f'{self.rope_base} and {self.norm_epsilon}.'
      )
    if self.logit_softcap is not None and self.logit_softcap <= 0.0:
      raise ValueError(
        f'logit_softcap must be positive or None, got {self.logit_softcap}.'
      )
    if self.compute_dtype not in COMPUTE_DTYPES:
      raise ValueError(
        f'compute_dtype must be {" or ".join(COMPUTE_DTYPES)}, got '
        f'{self.compute_dtype!r}.'
      )
