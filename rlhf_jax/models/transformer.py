"""A decoder-only transformer as pure functions of its parameters."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import distributions
from rlhf_jax.models import attention, cores, lora
from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.models.layers import Attend, Transformer
from rlhf_jax.sharding import BATCH, constrain, leaf_path
from rlhf_jax.types import Params

# The mesh axes of each parameter of transformer and heads: the first pattern
# found in its path wins, and a parameter that none names is an error. Layers
# are stacked along a leading axis.
PARTITION_RULES = (
  (r'(^|/)embedding$', ('tensor', 'fsdp')),
  (r'(^|/)unembedding$', ('fsdp', 'tensor')),
  (r'(^|/)positions$', (None, 'fsdp')),
  (r'layers/attention/(query|key|value)$', (None, 'fsdp', 'tensor', None)),
  (r'layers/attention/output$', (None, 'tensor', None, 'fsdp')),
  (r'layers/mlp/gate_and_up$', (None, 'fsdp', None, 'tensor')),
  (r'layers/mlp/up$', (None, 'fsdp', 'tensor')),
  (r'layers/mlp/down$', (None, 'tensor', 'fsdp')),
  (r'layers/attention/(query|key|value)_bias$', (None, 'tensor', None)),
  (r'layers/mlp/gate_and_up_bias$', (None, None, 'tensor')),
  (r'layers/mlp/up_bias$', (None, 'tensor')),
  (r'layers/(attention/output|mlp/down)_bias$', ()),
  (r'(query|key|value|gate_and_up|up)_lora/a$', (None, 'fsdp')),
  (r'(query|key|value|up)_lora/b$', (None, None, 'tensor')),
  (r'gate_and_up_lora/b$', (None, None, None, 'tensor')),
  (r'(output|down)_lora/a$', (None, 'tensor')),
  (r'(output|down)_lora/b$', (None, None, 'fsdp')),
  (r'_lora/scale$', ()),
  (r'norm/(scale|bias)$', ()),
  (r'head/kernel$', ('fsdp', None)),
  (r'head/bias$', ()),
  (r'(^|/)scale/(factor|shift)$', ()),
  (r'(mean|deviation|critic)/(first|second|last)/(kernel|bias)$', ()),
  (r'bottleneck/(mean|deviation)/(kernel|bias)$', ()),
)


@functools.partial(jax.jit, static_argnums=0)
def init(config: TransformerConfig, key: chex.PRNGKey) -> Params:
  """Random parameters."""
  tokens = jnp.zeros((1, 1), jnp.int32)
  # Nothing of it is computed, whatever the setting needs.
  config = dataclasses.replace(config, attention_core=cores.plain)
  attend = attend_within(config, jnp.ones((1, 1), bool))
  return Transformer(config).init(key, tokens, tokens, attend)['params']


def hidden(
  config: TransformerConfig,
  params: Params,
  tokens: chex.Array,
  attention_mask: chex.Array,
  positions: chex.Array | None = None,
  segment_ids: chex.Array | None = None,
) -> chex.Array:
  """[B, T, D] hidden states after the final norm, in the compute dtype.

  Args:
    config: sizes.
    params: of `init`; a free unembedding is not read.
    tokens: [B, T] int32.
    attention_mask: [B, T] bool, True on real tokens.
    positions: [B, T] int32; None counts the real tokens of each segment.
    segment_ids: [B, T] int32, which packed example a token belongs to; examples
      are contiguous, and a token attends to its own only.
  """
  chex.assert_rank([tokens, attention_mask], 2)
  chex.assert_type([tokens, attention_mask], [int, bool])
  chex.assert_equal_shape([tokens, attention_mask])
  check_length(config, tokens.shape[1])
  if positions is None:
    positions = attention.positions_from_mask(attention_mask, segment_ids)
  attend = attend_within(config, attention_mask, segment_ids)
  x, _ = Transformer(config).apply(
    {'params': params}, tokens, positions, attend
  )
  return x


def logits(
  config: TransformerConfig,
  params: Params,
  x: chex.Array,
  *,
  absent: tuple[int, ...],
) -> chex.Array:
  """[..., V] float32 logits of hidden states x [..., D], −∞ at absent ids."""
  kernel = unembedding(config, params, x.dtype)
  out = jnp.einsum(
    '...d,dv->...v', x, kernel, preferred_element_type=jnp.float32
  )
  cap = config.logit_softcap
  out = constrain(out, BATCH, *[None] * (out.ndim - 2), 'tensor')
  out = out if cap is None else cap * jnp.tanh(out / cap)
  return distributions.rule_out(out, absent)


def score(
  kernel: Callable[..., Any],
  config: TransformerConfig,
  params: Params,
  x: chex.Array,
  targets: chex.Array,
  temperature: chex.Numeric = 1.0,
  *,
  absent: tuple[int, ...],
) -> Any:
  """`kernel` of targets [...] read from x [..., D]: log-probs and entropies."""
  return kernel(
    x,
    unembedding(config, params, x.dtype),
    targets,
    temperature=temperature,
    softcap=config.logit_softcap,
    absent=absent,
  )


def as_computed(dtype: str, params: Params) -> Params:
  """Parameters cast to the dtype that a transformer computes in.

  The forward pass gives the same numbers. Parameters of norms, which are
  computed in float32, and of heads stay as they are.
  """

  def cast(path, leaf):
    name = leaf_path(path)
    if 'norm/' in name or not lora.TRANSFORMER.search(name):
      return leaf
    return leaf.astype(dtype)

  return jax.tree_util.tree_map_with_path(cast, params)


def attend_within(
  config: TransformerConfig,
  attention_mask: chex.Array,
  segment_ids: chex.Array | None = None,
  *,
  keep: bool = False,
) -> Attend:
  """Causal attention within each row; keeps keys and values if `keep`."""
  core = config.attention_core or cores.core_for(attention_mask.shape[1])
  mix = core(config, attention_mask, segment_ids)

  def attend(queries, keys, values, kind):
    mixed = mix(queries, keys, values, kind)
    return mixed, (keys, values) if keep else None

  return attend


def check_length(config: TransformerConfig, length: int) -> None:
  """Refuses rows that are longer than the model has positions for.

  Raises:
    ValueError: saying how many there are.
  """
  if config.longest is not None and length > config.longest:
    raise ValueError(
      f'rows have {length} tokens, and the model has positions for '
      f'{config.longest}; lower the limits of tokens'
    )


def unembedding(
  config: TransformerConfig, params: Params, dtype: chex.ArrayDType
) -> chex.Array:
  """[D, V], the matrix from hidden states to logits."""
  tied = config.tied_embeddings
  kernel = params['embedding'].T if tied else params['unembedding']
  return kernel.astype(dtype)
