"""A decoder-only transformer as pure functions of its parameters."""

import functools
from collections.abc import Sequence
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import distributions
from rlhf_jax.models import attention
from rlhf_jax.models.cache import Cache, LayerCache
from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.models.layers import Attend, Block, RMSNorm, normal
from rlhf_jax.sharding import BATCH, constrain, leaf_path
from rlhf_jax.types import LanguageModel, Params

# Where each parameter lives, transformer and heads: the first pattern found in
# the path wins, and a parameter that none names is an error. Layers are
# stacked along a leading axis.
PARTITION_RULES = (
  (r'(^|/)embedding$', ('tensor', 'fsdp')),
  (r'(^|/)unembedding$', ('fsdp', 'tensor')),
  (r'layers/attention/(query|key|value)$', (None, 'fsdp', 'tensor', None)),
  (r'layers/attention/output$', (None, 'tensor', None, 'fsdp')),
  (r'layers/mlp/gate_and_up$', (None, 'fsdp', None, 'tensor')),
  (r'layers/mlp/down$', (None, 'tensor', 'fsdp')),
  (r'norm/scale$', ()),
  (r'head/kernel$', ('fsdp', None)),
  (r'head/bias$', ()),
  (r'(mean|deviation|critic)/(first|second|last)/(kernel|bias)$', ()),
)


# Up to so many layers the loop over them is unrolled: a training step is faster
# by a third with 2 layers and a quarter with 4, and compiles no slower.
UNROLLED_LAYERS = 4


class Transformer(nn.Module):
  """Embedding, blocks with stacked parameters, final norm, unembedding."""

  config: TransformerConfig

  def setup(self):
    config = self.config
    init = normal(config.width**-0.5)
    table = (config.vocab_size, config.width)
    self.embedding = self.param('embedding', init, table)
    # Made here, and read by `unembedding` alone: a trunk has none.
    if self.is_initializing() and not config.tied_embeddings:
      self.unembedding = self.param('unembedding', init, table[::-1])
    self.layers = Block(config)
    self.final_norm = RMSNorm(config.norm_epsilon)

  def embed(self, tokens: chex.Array) -> chex.Array:
    """[B, T, D] in the compute dtype."""
    # The rows are gathered whole, so the width must not be split here.
    table = constrain(self.embedding, 'tensor', None)
    x = table.astype(self.config.compute_dtype)[tokens]
    return constrain(x, BATCH, None, None)

  def __call__(
    self, tokens: chex.Array, positions: chex.Array, attend: Attend
  ) -> tuple[chex.Array, Any]:
    """Hidden states [B, T, D], after the final norm; what each layer keeps."""
    config = self.config
    turns = attention.rotary(positions, config.head_width, config.rope_base)

    def step(block, x, _):
      return block(x, turns, attend)

    unroll = config.layers if config.layers <= UNROLLED_LAYERS else 1
    if self.is_initializing():
      unroll = 1  # Drawing is slow to compile, and done once.
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
    x, kept = layers(self.layers, self.embed(tokens), None)
    return self.final_norm(x), kept

  def finish(self, x: chex.Array) -> chex.Array:
    """The stream after the final norm."""
    return self.final_norm(x)


def language_model(
  config: TransformerConfig, absent: tuple[int, ...] = ()
) -> LanguageModel:
  """The transformer of a config, as pure functions of its parameters.

  Equal arguments give the same object, so that what was compiled for one serves
  the other.

  Args:
    config: sizes.
    absent: ids in [0, V) that are no tokens of the tokenizer, in rising order.
      Every distribution gives them probability 0, a logit of −∞.

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
    token_logps=makes_logits(token_logps, config),
    token_logps_and_entropies=makes_logits(token_logps_and_entropies, config),
    load=functools.partial(load, config),
    prefill=makes_logits(prefill, config),
    decode_step=makes_logits(decode_step, config),
  )


@functools.partial(jax.jit, static_argnums=0)
def init(config: TransformerConfig, key: chex.PRNGKey) -> Params:
  """Random parameters, float32."""
  tokens = jnp.zeros((1, 1), jnp.int32)
  attend = attend_within(jnp.ones((1, 1), bool))
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
    positions: [B, T] int32; from the mask, and anew in each segment, if None.
    segment_ids: [B, T] int32, which packed example a token belongs to; examples
      are contiguous and do not see each other.
  """
  chex.assert_rank([tokens, attention_mask], 2)
  chex.assert_type([tokens, attention_mask], [int, bool])
  chex.assert_equal_shape([tokens, attention_mask])
  if positions is None:
    positions = attention.positions_from_mask(attention_mask, segment_ids)
  attend = attend_within(attention_mask, segment_ids)
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
  out = out if cap is None else cap * jnp.tanh(out / cap)
  return distributions.rule_out(out, absent)


def token_logps(
  config: TransformerConfig,
  params: Params,
  x: chex.Array,
  targets: chex.Array,
  temperature: chex.Numeric = 1.0,
  *,
  absent: tuple[int, ...] = (),
) -> chex.Array:
  """[...] log-probs in nats of targets [...] read from x [..., D]."""
  return distributions.fused_token_logps(
    x,
    unembedding(config, params, x.dtype),
    targets,
    temperature=temperature,
    softcap=config.logit_softcap,
    absent=absent,
  )


def token_logps_and_entropies(
  config: TransformerConfig,
  params: Params,
  x: chex.Array,
  targets: chex.Array,
  temperature: chex.Numeric = 1.0,
  *,
  absent: tuple[int, ...] = (),
) -> tuple[chex.Array, chex.Array]:
  """The same, and [...] entropies of the distributions they came from."""
  return distributions.fused_token_logps_and_entropies(
    x,
    unembedding(config, params, x.dtype),
    targets,
    temperature=temperature,
    softcap=config.logit_softcap,
    absent=absent,
  )


def load(config: TransformerConfig, params: Params) -> Params:
  """Parameters as decoding reads them: each layer's own, in the compute dtype.

  The scales of norms stay in float32, in which norms are computed.
  """

  def cast(path, leaf):
    name = leaf_path(path)
    return leaf if name.endswith('scale') else leaf.astype(config.compute_dtype)

  params = jax.tree_util.tree_map_with_path(cast, params)
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
  absent: tuple[int, ...] = (),
) -> tuple[chex.Array, Cache]:
  """Reads prompts padded on the left, once each.

  Args:
    config: sizes.
    loaded: of `load`.
    tokens: [B, P] int32.
    attention_mask: [B, P] bool, the last column a real token.
    samples: K, how many responses will read each prompt's cache.
    max_response: R, how many tokens each of them may have.
    absent: ids of probability 0.

  Returns:
    [B, V] logits of the first response token, and the cache.
  """
  attends = [attend_within(attention_mask, keep=True)] * config.layers
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
  """Reads one more token [B, K] of every response.

  Returns:
    [B, K, V] logits of the token after it, and the cache with it.
  """
  samples = tokens.shape[1]
  positions, visible = cache.positions(samples), cache.visible(samples)
  attends = [
    attend_cached(stored, cache.step, visible) for stored in cache.layers
  ]
  x, layers = through_layers(config, loaded, tokens, positions, attends)
  cache = cache.replace(layers=tuple(layers), step=cache.step + 1)
  return logits(config, loaded, x, absent=absent), cache


def through_layers(
  config: TransformerConfig,
  loaded: Params,
  tokens: chex.Array,
  positions: chex.Array,
  attends: Sequence[Attend],
) -> tuple[chex.Array, list[Any]]:
  """Hidden states [B, T, D], and what `attends` kept, one of each layer."""
  variables, module = {'params': loaded}, Transformer(config)
  turns = attention.rotary(positions, config.head_width, config.rope_base)
  x, kept = module.apply(variables, tokens, method='embed'), []
  for weights, attend in zip(loaded['layers'], attends, strict=True):
    x, of_layer = Block(config).apply({'params': weights}, x, turns, attend)
    kept.append(of_layer)
  return module.apply(variables, x, method='finish'), kept


def attend_within(
  attention_mask: chex.Array,
  segment_ids: chex.Array | None = None,
  *,
  keep: bool = False,
) -> Attend:
  """Attention over the row itself; keeps keys and values where asked."""
  visible = attention.visible_keys(attention_mask, segment_ids)

  def attend(queries, keys, values):
    mixed = attention.attend(queries, keys, values, visible)
    return mixed, (keys, values) if keep else None

  return attend


def attend_cached(
  stored: LayerCache, step: chex.Array, visible: chex.Array
) -> Attend:
  """Attention of one token a response over what its layer has stored."""

  def attend(queries, keys, values):
    cache = stored.store(step, keys, values)
    return cache.attend(queries, visible), cache

  return attend


def unembedding(
  config: TransformerConfig, params: Params, dtype: chex.ArrayDType
) -> chex.Array:
  """[D, V], the matrix that makes logits."""
  tied = config.tied_embeddings
  kernel = params['embedding'].T if tied else params['unembedding']
  return kernel.astype(dtype)
