"""A decoder-only transformer as pure functions of its parameters."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import distributions
from rlhf_jax.models import attention, cores, lora
from rlhf_jax.models.cache import Cache, LayerCache
from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.models.layers import Attend, Block, Transformer
from rlhf_jax.sharding import (
  BATCH,
  BY_ROWS,
  BY_WIDTH,
  Layout,
  constrain,
  leaf_path,
)
from rlhf_jax.types import LanguageModel, Params

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


def language_model(
  config: TransformerConfig, absent: tuple[int, ...] = ()
) -> LanguageModel:
  """The transformer of a config, as pure functions of its parameters.

  Equal arguments give the same object, so that what was compiled for one serves
  the other.

  Args:
    config: sizes.
    absent: ids in [0, V) that are no tokens of the tokenizer, in rising order:
      of probability 0 in every distribution.

  Raises:
    ValueError: an absent id is no row of the model, or no token is left.
  """
  beyond = [i for i in absent if not 0 <= i < config.vocab_size]
  if beyond or len(set(absent)) == config.vocab_size:
    what = (
      f'{beyond[0]} is none of them' if beyond else 'all of them are absent'
    )
    raise ValueError(
      f'absent ids are rows of the model, which has {config.vocab_size}, and '
      f'leave a token to say; {what}.'
    )
  return _language_model(config, absent)


@functools.cache
def _language_model(
  config: TransformerConfig, absent: tuple[int, ...]
) -> LanguageModel:
  makes_logits = functools.partial(functools.partial, absent=absent)
  return LanguageModel(
    init=functools.partial(init, config),
    hidden=functools.partial(hidden, config),
    logits=makes_logits(logits, config),
    token_logps=makes_logits(score, distributions.fused_token_logps, config),
    token_logps_and_entropies=makes_logits(
      score, distributions.fused_token_logps_and_entropies, config
    ),
    load=functools.partial(load, config),
    prefill=makes_logits(prefill, config),
    decode_step=makes_logits(decode_step, config),
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
  absent: tuple[int, ...] = (),
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
  absent: tuple[int, ...] = (),
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


def load(config: TransformerConfig, params: Params) -> Params:
  """Parameters for decoding: a list of layers, in the compute dtype.

  Adapters are merged into what they adapt.
  """
  params = as_computed(config.compute_dtype, lora.merge(params))
  layers = [
    jax.tree.map(lambda leaf, i=index: leaf[i], params['layers'])
    for index in range(config.layers)
  ]
  return params | {'layers': layers}


def as_computed(dtype: str, params: Params) -> Params:
  """Parameters in the type that a transformer computes with them in.

  Who only computes with them has the same numbers of them. Those of norms stay
  as they are, since norms are computed in float32; so do those of heads.
  """

  def cast(path, leaf):
    name = leaf_path(path)
    if 'norm/' in name or not lora.TRANSFORMER.search(name):
      return leaf
    return leaf.astype(dtype)

  return jax.tree_util.tree_map_with_path(cast, params)


def prefill(
  config: TransformerConfig,
  loaded: Params,
  tokens: chex.Array,
  attention_mask: chex.Array,
  samples: int,
  max_response: int,
  *,
  absent: tuple[int, ...] = (),
) -> tuple[chex.Array, Cache]:
  """Reads each prompt once, padded on the left.

  Args:
    config: sizes.
    loaded: of `load`.
    tokens: [B, P] int32.
    attention_mask: [B, P] bool, the last column a real token.
    samples: K, responses per prompt.
    max_response: R, tokens at most in a response.
    absent: ids of probability 0.

  Returns:
    [B, V] logits of the first response token, and the cache.
  """
  check_length(config, tokens.shape[1] + max_response)
  attends = [attend_within(config, attention_mask, keep=True)] * config.layers
  positions = attention.positions_from_mask(attention_mask)
  x, kept = through_layers(config, loaded, tokens, positions, attends)
  layers = tuple(
    LayerCache.of_prompt(*of_layer, samples, max_response) for of_layer in kept
  )
  start = jnp.zeros((), jnp.int32)
  first = logits(config, loaded, x[:, -1], absent=absent)
  return first, Cache(layers, attention_mask, start)


def decode_step(
  config: TransformerConfig,
  loaded: Params,
  cache: Cache,
  tokens: chex.Array,
  *,
  absent: tuple[int, ...] = (),
) -> tuple[chex.Array, Cache]:
  """Reads the next token [B, K] of every response.

  Returns:
    [B, K, V] logits of the token after it, and the cache with it stored.
  """
  samples = tokens.shape[1]
  positions = cache.positions(samples)
  visible = {w: cache.visible(samples, w) for _, w in config.sights}
  attends = [
    attend_cached(config, stored, cache.step, visible[config.sights[kind][1]])
    for kind, stored in zip(config.sight_of_layer, cache.layers, strict=True)
  ]
  # For a token a row, gathered weights would be nearly all of the traffic.
  x, layers = through_layers(
    config, loaded, tokens, positions, attends, BY_WIDTH
  )
  cache = cache.replace(layers=tuple(layers), step=cache.step + 1)
  return logits(config, loaded, x, absent=absent), cache


def through_layers(
  config: TransformerConfig,
  loaded: Params,
  tokens: chex.Array,
  positions: chex.Array,
  attends: Sequence[Attend],
  layout: Layout = BY_ROWS,
) -> tuple[chex.Array, list[Any]]:
  """Hidden states [B, T, D], and what each layer's `attend` keeps."""
  variables, module = {'params': loaded}, Transformer(config)
  sights = attention.sights(config, positions)
  x = module.apply(variables, tokens, positions, layout, method='embed')
  kept = []
  for weights, attend, kind in zip(
    loaded['layers'], attends, config.sight_of_layer, strict=True
  ):
    x, of_layer = Block(config, layout).apply(
      {'params': weights}, x, sights[kind], attend
    )
    kept.append(of_layer)
  x = module.apply(variables, x, method='finish')
  return constrain(x, *layout), kept


def attend_within(
  config: TransformerConfig,
  attention_mask: chex.Array,
  segment_ids: chex.Array | None = None,
  *,
  keep: bool = False,
) -> Attend:
  """Causal attention within each row; keeps keys and values if `keep`."""
  core = config.attention_core or cores.fitting(attention_mask.shape[1])
  mix = core(config, attention_mask, segment_ids)

  def attend(queries, keys, values, kind):
    mixed = mix(queries, keys, values, kind)
    return mixed, (keys, values) if keep else None

  return attend


def attend_cached(
  config: TransformerConfig,
  stored: LayerCache,
  step: chex.Array,
  visible: chex.Array,
) -> Attend:
  """Attention of one token per response over a layer's stored keys."""

  def attend(queries, keys, values, kind):
    del kind  # `visible` has heeded its window.
    cache = stored.store(step, keys, values)
    return cache.attend(queries, visible, config.attention), cache

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
