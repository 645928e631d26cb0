"""Reward models and critics: a transformer's trunk and a linear head.

A reading says which hidden states the head reads of a whole row: a function
(hidden [B, T, D], attention_mask [B, T]) -> features [B, D].
"""

import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import masking
from rlhf_jax.models import transformer
from rlhf_jax.models.config import TransformerConfig
from rlhf_jax.types import Params, ScalarModel

Reading = Callable[[chex.Array, chex.Array], chex.Array]


def last_token(hidden: chex.Array, attention_mask: chex.Array) -> chex.Array:
  """[B, D] hidden state of each row's last real token, wherever padding is.

  A row without real tokens gives that of its first column.
  """
  columns = jnp.arange(hidden.shape[1], dtype=jnp.int32)[None]
  last = jnp.max(jnp.where(attention_mask, columns, 0), axis=1)
  return jnp.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]


def mean_of_tokens(
  hidden: chex.Array, attention_mask: chex.Array
) -> chex.Array:
  """[B, D] float32 mean of each row's real tokens, prompt and response alike.

  A row without real tokens gives 0.
  """
  mask = jnp.broadcast_to(attention_mask[..., None], hidden.shape)
  return masking.masked_mean(hidden, mask, axis=1)


def scalar_model(
  config: TransformerConfig, *, scores: int = 1, reading: Reading = last_token
) -> ScalarModel:
  """A model of M scores, linear in the hidden states.

  Params are {'trunk': a transformer's, without a free unembedding,
  'head': {'kernel' [D, M], 'bias' [M]}}.

  Args:
    config: the trunk's sizes; its settings of logits are not read.
    scores: M, attributes or ensemble members.
    reading: what the head reads of a whole row.
  """
  if scores < 1:
    raise ValueError(f'a scalar model needs 1 score or more, got {scores}.')
  return _scalar_model(config, scores, reading)


@functools.cache
def _scalar_model(
  config: TransformerConfig, scores: int, reading: Reading
) -> ScalarModel:
  def hidden(params, tokens, attention_mask):
    return transformer.hidden(config, params['trunk'], tokens, attention_mask)

  def features(params, tokens, attention_mask):
    return reading(hidden(params, tokens, attention_mask), attention_mask)

  def scores_of_rows(params, tokens, attention_mask):
    return head(params, features(params, tokens, attention_mask))

  def values(params, tokens, attention_mask):
    return head(params, hidden(params, tokens, attention_mask))[..., 0]

  return ScalarModel(
    init=functools.partial(init, config, scores=scores),
    hidden=hidden,
    features=features,
    scores=scores_of_rows,
    values=values,
    head=head,
    trunk=functools.partial(trunk_from_policy, layers=config.layers),
  )


def trunk_from_policy(
  policy_params: Params, *, layers: int | None = None
) -> Params:
  """A trunk's parameters: a policy's without an untied unembedding.

  Args:
    policy_params: of `transformer.init`.
    layers: how many are taken, from the first on; all where None. The final
      norm stays what it is behind the last one: whoever reads the cut trunk
      linearly scales its channels anyway, and a norm of another scale would be
      another model's.
  """
  trunk = {k: v for k, v in policy_params.items() if k != 'unembedding'}
  stacked = jax.tree.map(lambda leaf: leaf[:layers], trunk['layers'])
  return trunk | {'layers': stacked}


def init(
  config: TransformerConfig, key: chex.PRNGKey, *, scores: int = 1
) -> Params:
  """Random parameters; initial scores have mean 0 and deviation about 0.1."""
  trunk_key, head_key = jax.random.split(key)
  shape = (config.width, scores)
  kernel = 0.1 * config.width**-0.5 * jax.random.normal(head_key, shape)
  return {
    'trunk': trunk_from_policy(transformer.init(config, trunk_key)),
    'head': {'kernel': kernel, 'bias': jnp.zeros(scores)},
  }


def head(params: Params, hidden: chex.Array) -> chex.Array:
  """[..., M] float32 scores of hidden states [..., D]."""
  kernel, bias = params['head']['kernel'], params['head']['bias']
  scores = jnp.einsum('...d,dm->...m', hidden.astype(jnp.float32), kernel)
  return scores + jnp.broadcast_to(bias, scores.shape)
