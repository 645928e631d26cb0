"""Log-probs of tokens and of responses, and entropies of the next token.

From logits, by definition; and from hidden states, without ever holding the
logits [N, V] when they would be large. `next_token_logps` is the one place of
the library that shifts by one: everything else is aligned by position.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from rlhf_jax import types
from rlhf_jax.kernels import chunked_logps, masking, vocabulary

# Up to this many logits on a device (128 MiB) it is faster, and takes no more
# memory than what follows, to hold them all: tests/benchmarks/logps.py.
PLAIN_LOGITS = 2**25


@jax.jit
def token_logps(
  logits: chex.Array,
  targets: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
) -> chex.Array:
  """Log-prob of each target, z[target] − log Σᵥ exp zᵥ.

  z = logits / temperature.

  Args:
    logits: [..., V], any float type; the arithmetic is float32.
    targets: [...] int. One outside [0, V) gives NaN and a gradient of zero.
    temperature: > 0; may be traced.

  Returns:
    [...] float32, in nats, aligned with `targets`: nothing is shifted.
  """
  chex.assert_type([logits, targets], [float, int])
  chex.assert_shape(targets, logits.shape[:-1])
  chex.assert_rank(temperature, 0)

  logits = logits.astype(jnp.float32) / temperature
  logits -= jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
  known = (targets >= 0) & (targets < logits.shape[-1])
  picked = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
  logps = picked - jnp.log(jnp.sum(jnp.exp(logits), axis=-1))
  return jnp.where(known, logps, jnp.nan)


@jax.jit
def entropies(
  logits: chex.Array, *, temperature: chex.Numeric = 1.0
) -> chex.Array:
  """Entropy of each softmax, log s + Σᵥ eᵥ (m − zᵥ) / s.

  z = logits / temperature, m = max z, eᵥ = exp(zᵥ − m) and s = Σ e. No term is
  negative, so that nothing cancels, as it does in log Σ exp z − Σ p z when the
  logits are large.

  Args:
    logits: [..., V], any float type; −inf is a token of probability 0.
    temperature: > 0; may be traced.

  Returns:
    [...] float32, in nats, between 0 and log V.
  """
  chex.assert_type(logits, float)
  chex.assert_rank(temperature, 0)

  logits = logits.astype(jnp.float32) / temperature
  top = jnp.max(logits, axis=-1, keepdims=True)
  gaps = jax.lax.stop_gradient(top) - logits
  # A gap of infinity has weight 0, and 0 · ∞ is NaN, in the gradient as well.
  possible = jnp.isfinite(gaps)
  gaps = jnp.where(possible, gaps, 0.0)
  weights = jnp.where(possible, jnp.exp(-gaps), 0.0)
  total = jnp.sum(weights, axis=-1)
  return jnp.log(total) + jnp.sum(weights * gaps, axis=-1) / total


@functools.partial(jax.jit, static_argnames=('chunk', 'softcap', 'absent'))
def fused_token_logps(
  hidden: chex.Array,
  unembedding: chex.Array,
  targets: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
  chunk: int | None = None,
  softcap: float | None = None,
  absent: tuple[int, ...] = (),
) -> chex.Array:
  """token_logps(hidden @ unembedding, targets), without the logits in memory.

  Args:
    hidden: [..., D], float32 or bfloat16; products accumulate in float32.
    unembedding: [D, V] likewise.
    targets: [...] int. One outside [0, V) gives NaN and a gradient of zero.
    temperature: > 0; may be traced.
    chunk: columns of the vocabulary whose logits are held at a time; static.
      None chooses, and holds what fits a fixed amount of memory, if not all,
      from the forward pass to the backward pass.
    softcap: logits become softcap · tanh(logits / softcap) before they are
      divided by the temperature (Gemma Team 2024, section 2); static.
    absent: ids in [0, V) that are no tokens (`kernels.vocabulary`): they have
      probability 0, and no gradient; static. As a target one gives −∞.

  Returns:
    [...] float32, in nats, aligned with `targets`. Gradients have the types of
    what they are gradients of. Only reverse-mode differentiation is offered.
  """
  logps, _ = fused_token_logps_and_entropies(
    hidden,
    unembedding,
    targets,
    temperature=temperature,
    chunk=chunk,
    softcap=softcap,
    absent=absent,
  )
  return logps


@functools.partial(jax.jit, static_argnames=('chunk', 'softcap', 'absent'))
def fused_token_logps_and_entropies(
  hidden: chex.Array,
  unembedding: chex.Array,
  targets: chex.Array,
  *,
  temperature: chex.Numeric = 1.0,
  chunk: int | None = None,
  softcap: float | None = None,
  absent: tuple[int, ...] = (),
) -> tuple[chex.Array, chex.Array]:
  """fused_token_logps, and from the same pass the entropies of each softmax.

  Args: as in `fused_token_logps`.

  Returns:
    [...] log-probs and [...] entropies, float32, in nats. Either may be
    differentiated; what is not asked for is not computed.
  """
  chex.assert_type([hidden, unembedding, targets], [float, float, int])
  chex.assert_shape(unembedding, (hidden.shape[-1], None))
  chex.assert_shape(targets, hidden.shape[:-1])
  chex.assert_rank(temperature, 0)
  if chunk is not None and chunk < 1:
    raise ValueError(f'chunk is {chunk}: give a number of columns, or None.')

  shape, (depth, columns) = targets.shape, unembedding.shape
  hidden = hidden.reshape(-1, depth)
  targets = targets.reshape(-1)
  devices, parts = chunked_logps.shares(columns)
  held = targets.size * columns // devices
  if chunk is None and held <= PLAIN_LOGITS:
    logits = chunked_logps.product('nd,dv->nv', hidden, unembedding)
    logits = chunked_logps.cap(logits, softcap)
    if absent:  # After the temperature, whose gradient would be 0 · ∞.
      logits = vocabulary.rule_out(logits / temperature, absent)
      temperature = 1.0
    logps = token_logps(logits, targets, temperature=temperature)
    spreads = entropies(logits, temperature=temperature)
  else:
    size = columns // parts
    width, kept = chunked_logps.fitting(held, size)
    if chunk is not None:
      width, kept = min(max(chunk // parts, 1), size), 0
    logps, spreads = chunked_logps.logps_and_entropies(
      hidden,
      unembedding.reshape(depth, parts, size),
      targets,
      jnp.asarray(temperature, jnp.float32),
      width,
      kept,
      softcap,
      absent,
    )
  return logps.reshape(shape), spreads.reshape(shape)


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
  read from the hidden state of column start + j − 1. Only these columns are
  turned into logits.

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
  hidden, targets = _aligned(
    model, params, tokens, attention_mask, start, segment_ids
  )
  return model.token_logps(params, hidden, targets, temperature)


def next_token_logps_and_entropies(
  model: types.LanguageModel,
  params: types.Params,
  tokens: chex.Array,
  attention_mask: chex.Array,
  *,
  start: int = 1,
  segment_ids: chex.Array | None = None,
  temperature: chex.Numeric = 1.0,
) -> tuple[chex.Array, chex.Array]:
  """next_token_logps, and the entropies of what each token was drawn from.

  Args: as in `next_token_logps`.

  Returns:
    [N, T − start] log-probs and [N, T − start] entropies, float32, in nats.
  """
  hidden, targets = _aligned(
    model, params, tokens, attention_mask, start, segment_ids
  )
  return model.token_logps_and_entropies(params, hidden, targets, temperature)


def before_tokens(x: chex.Array, *, start: int = 1) -> chex.Array:
  """[N, T − start, ...], x [N, T, ...] a column before each token from `start`.

  Hidden states there say what the token is drawn from; values there are the
  critic's before the token.
  """
  return x[:, start - 1 : -1]


def _aligned(model, params, tokens, attention_mask, start, segment_ids):
  """Hidden states [N, T − start, D] and, at their columns, what comes next."""
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
  before = before_tokens(hidden, start=start)
  return jnp.where(real, before, 0.0), tokens[:, start:]


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
  *leading, width = batch.tokens.shape

  def fold(x):
    return None if x is None else x.reshape(-1, width)

  # The prompt's columns of rollouts hold no response: no logits are made there.
  sampled = isinstance(batch, types.Rollouts)
  start = width - batch.response_length if sampled else 1
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
  """Tokens that `response_logps` sums over [...], float32, end-of-text too."""
  counted = batch.response_mask[..., 1:]
  return jnp.sum(counted, axis=-1, dtype=jnp.float32)


def reference_logps(
  model: types.LanguageModel,
  params: types.Params | None,
  batch: types.Comparisons,
) -> chex.Array:
  """response_logps [B, K] of a frozen reference, in nats; no gradient.

  Those kept beside the data where there are any, and no model is asked then;
  otherwise those of `params`.

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
