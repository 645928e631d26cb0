"""Log-probs of a batch's tokens and responses under a model.

`next_token_logps` is the one place of the library that shifts by one:
everything else is aligned by position.
"""

import chex
import jax
import jax.numpy as jnp

from rlhf_jax import types
from rlhf_jax.kernels import masking


def next_token_logps(
  model: types.LanguageModel,
  params: types.Params,
  tokens: chex.Array,
  attention_mask: chex.Array,
  *,
  start: int = 1,
  segment_ids: chex.Array | None = None,
  temperature: chex.Numeric = 1.0,
) -> chex.Array:
  """Log-prob of each token given what precedes it in its row.

  The one place that shifts: column j of the result scores tokens[:, start + j],
  read from the hidden state of column start + j − 1. No logits are made for
  other columns.

  Args:
    model: the policy.
    params: its parameters.
    tokens: [N, T] int.
    attention_mask: [N, T] bool, True on real tokens.
    start: the first column that is scored, in [1, T); static.
    segment_ids: [N, T] int where rows are packed, or None. The first token of
      a segment is scored by the segment before it, and so means nothing.
    temperature: > 0; may be traced.

  Returns:
    [N, T − start] float32, in nats. Where a token or the one before it is
    padding the value means nothing: mask it. Hidden states of padding may be
    NaN; they reach neither values nor gradients.
  """
  chex.assert_rank([tokens, attention_mask], 2)
  chex.assert_type([tokens, attention_mask], [int, bool])
  chex.assert_equal_shape([tokens, attention_mask])
  if not 1 <= start < tokens.shape[1]:
    raise ValueError(
      f'start is {start}: rows of {tokens.shape[1]} tokens can be scored '
      'from column 1 (nothing precedes column 0) to the last.'
    )
  hidden = model.hidden(params, tokens, attention_mask, segment_ids=segment_ids)
  real = before_tokens(attention_mask, start=start)[..., None]
  hidden = jnp.where(real, before_tokens(hidden, start=start), 0.0)
  return model.token_logps(params, hidden, tokens[:, start:], temperature)


def before_tokens(x: chex.Array, *, start: int = 1) -> chex.Array:
  """Columns start − 1 … T − 2 of x [N, T, ...], [N, T − start, ...].

  One before each token from `start` on: the hidden states that predict these
  tokens, or the critic's values before them.
  """
  return x[:, start - 1 : -1]


def response_logps(
  model: types.LanguageModel,
  params: types.Params,
  batch: types.Demonstrations | types.Comparisons | types.Rollouts,
  *,
  temperature: chex.Numeric = 1.0,
) -> chex.Array:
  """Log-prob of each whole response: the sum over its response_mask.

  Args:
    model: the policy.
    params: its parameters.
    batch: rows of T tokens under any leading axes [...]. A packed row gives the
      sum over its examples. Column 0 is never counted: nothing precedes it.
    temperature: > 0; may be traced.

  Returns:
    [...] float32, in nats; 0 for a response masked whole. What is masked may
    be NaN: it changes neither the sum nor the gradient.
  """
  *leading, T = batch.tokens.shape

  def fold(x):
    return None if x is None else x.reshape(-1, T)

  # The prompt's columns of rollouts hold no response: no logits are made there.
  sampled = isinstance(batch, types.Rollouts)
  start = T - batch.response_length if sampled else 1
  packed = isinstance(batch, types.Demonstrations)
  logps = next_token_logps(
    model,
    params,
    fold(batch.tokens),
    fold(batch.attention_mask),
    start=start,
    segment_ids=fold(batch.segment_ids) if packed else None,
    temperature=temperature,
  )
  counted = fold(batch.response_mask)[:, start:]
  return masking.masked_sum(logps, counted, axis=-1).reshape(leading)


def response_lengths(
  batch: types.Demonstrations | types.Comparisons | types.Rollouts,
) -> chex.Array:
  """[...] float32, the tokens that `response_logps` sums over."""
  counted = batch.response_mask[..., 1:]
  return jnp.sum(counted, axis=-1, dtype=jnp.float32)


def reference_logps(
  model: types.LanguageModel,
  params: types.Params | None,
  batch: types.Comparisons,
) -> chex.Array:
  """response_logps [B, K] of a frozen reference, in nats; no gradient.

  Read from the batch where the data has them; otherwise computed with `params`.

  Raises:
    ValueError: there are neither.
  """
  if batch.reference_logps is not None:
    return batch.reference_logps
  if params is None:
    raise ValueError(
      'a reference is read, and this stage froze none and its data keep no '
      "log-probs of one: freeze one, {'reference': …}"
    )
  return jax.lax.stop_gradient(response_logps(model, params, batch))
