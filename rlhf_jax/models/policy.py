"""A policy: a transformer that scores whole rows and decodes token by token."""

import functools
from collections.abc import Sequence
from typing import Any

import chex
import jax

from rlhf_jax.kernels import distributions
from rlhf_jax.models import attention, lora, transformer
from rlhf_jax.models.cache import Cache
from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.models.layer_cache import LayerCache
from rlhf_jax.models.layers import Attend, Block, Transformer
from rlhf_jax.sharding import BY_ROWS, BY_WIDTH, ResidualLayout, constrain
from rlhf_jax.types import LanguageModel, Params


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
  def makes_logits(function, *given):
    return functools.partial(function, *given, absent=absent)

  return LanguageModel(
    init=functools.partial(transformer.init, config),
    hidden=functools.partial(transformer.hidden, config),
    logits=makes_logits(transformer.logits, config),
    token_logps=makes_logits(
      transformer.score, distributions.fused_token_logps, config
    ),
    token_logps_and_entropies=makes_logits(
      transformer.score, distributions.fused_token_logps_and_entropies, config
    ),
    load=functools.partial(load, config),
    prefill=makes_logits(prefill, config),
    decode_step=makes_logits(decode_step, config),
    replace_prompts=Cache.replaced,
  )


def load(config: TransformerConfig, params: Params) -> Params:
  """Parameters for decoding: a list of layers, in the compute dtype.

  Adapters are merged into what they adapt.
  """
  params = transformer.as_computed(config.compute_dtype, lora.merge(params))
  layers = [
    jax.tree.map(lambda leaf, i=index: leaf[i], params['layers'])
    for index in range(config.layers)
  ]
  return params | {'layers': layers}


def prefill(
  config: TransformerConfig,
  loaded: Params,
  tokens: chex.Array,
  attention_mask: chex.Array,
  samples: int,
  max_response: int,
  *,
  absent: tuple[int, ...],
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
  transformer.check_length(config, tokens.shape[1] + max_response)
  attend = transformer.attend_within(config, attention_mask, keep=True)
  positions = attention.positions_from_mask(attention_mask)
  x, kept = through_layers(
    config, loaded, tokens, positions, [attend] * config.layers
  )
  layers = tuple(
    LayerCache.of_prompt(*of_layer, samples, max_response) for of_layer in kept
  )
  first = transformer.logits(config, loaded, x[:, -1], absent=absent)
  return first, Cache.of_prompts(layers, attention_mask, max_response)


def decode_step(
  config: TransformerConfig,
  loaded: Params,
  cache: Cache,
  tokens: chex.Array,
  *,
  absent: tuple[int, ...],
) -> tuple[chex.Array, Cache]:
  """Reads the next token [B, K] of every response.

  Returns:
    [B, K, V] logits of the token after it, and the cache with it stored.
  """
  samples = tokens.shape[1]
  positions = cache.positions(samples)
  cache, column = cache.with_column()
  sights = [
    (cache.visible(samples, window), cache.in_use(window))
    for window in config.windows
  ]
  attends = [
    attend_cached(config, stored, column, *sights[kind])
    for kind, stored in zip(config.sight_of_layer, cache.layers, strict=True)
  ]
  # For a token a row, gathered weights would be nearly all of the traffic.
  x, layers = through_layers(
    config, loaded, tokens, positions, attends, BY_WIDTH
  )
  cache = cache.replace(layers=tuple(layers), step=cache.step + 1)
  return transformer.logits(config, loaded, x, absent=absent), cache


def through_layers(
  config: TransformerConfig,
  loaded: Params,
  tokens: chex.Array,
  positions: chex.Array,
  attends: Sequence[Attend],
  layout: ResidualLayout = BY_ROWS,
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


def attend_cached(
  config: TransformerConfig,
  stored: LayerCache,
  column: chex.Array,
  visible: chex.Array,
  in_use: chex.Array,
) -> Attend:
  """Attention of one token per response over a layer's stored keys."""

  def attend(queries, keys, values, kind):
    del kind  # `visible` has heeded its window.
    cache = stored.store(column, keys, values)
    return cache.attend(queries, visible, in_use, config.attention), cache

  return attend
