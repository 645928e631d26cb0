"""Log-probs and entropies of the next token's distribution.

From logits, by definition; and from hidden states, without ever holding the
logits [N, V] when they would be large.

Models often have more rows than the tokenizer has tokens. An id without a token
is `absent`: its logit is −∞ wherever a distribution is made, so that its
probability is 0 for the sampler, the trainer and the reference alike, and it
has no gradient.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import chunked_logps

# Up to this many logits on a device (128 MiB) it is faster, and takes no more
# memory than what follows, to hold them all: tests/benchmarks/logps.py.
PLAIN_LOGITS = 2**25


def rule_out(logits: chex.Array, absent: tuple[int, ...]) -> chex.Array:
  """Logits [..., V], −∞ at the absent ids; as they are where there are none."""
  if not absent:
    return logits
  present = chunked_logps.present(logits.shape[-1], absent)
  return jnp.where(present, logits, -jnp.inf)


@jax.jit
def token_logps(
  logits: chex.Array, targets: chex.Array, *, temperature: chex.Numeric = 1.0
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
    absent: ids in [0, V) that are no tokens, of probability 0; static. Such a
      target has log-prob −∞.

  Returns:
    [...] float32, in nats, aligned with `targets`. Only reverse-mode
    differentiation is offered; gradients have their arguments' types.
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
    differentiated; an unused output is not computed.
  """
  chex.assert_type([hidden, unembedding, targets], [float, float, int])
  chex.assert_shape(unembedding, (hidden.shape[-1], None))
  chex.assert_shape(targets, hidden.shape[:-1])
  chex.assert_rank(temperature, 0)
  if chunk is not None and chunk < 1:
    raise ValueError(f'chunk is {chunk}: give a number of columns, or None.')

  shape, (D, V) = targets.shape, unembedding.shape
  hidden = hidden.reshape(-1, D)
  targets = targets.reshape(-1)
  devices, parts = chunked_logps.device_counts(V)
  held = targets.size * V // devices
  if chunk is None and held <= PLAIN_LOGITS:
    logits = chunked_logps.product('nd,dv->nv', hidden, unembedding)
    logits = chunked_logps.cap(logits, softcap)
    if absent:  # After the temperature, whose gradient would be 0 · ∞.
      logits = rule_out(logits / temperature, absent)
      temperature = 1.0
    logps = token_logps(logits, targets, temperature=temperature)
    spreads = entropies(logits, temperature=temperature)
  else:
    size = V // parts
    width, kept = chunked_logps.chunk_sizes(held, size)
    if chunk is not None:
      width, kept = min(max(chunk // parts, 1), size), 0
    logps, spreads = chunked_logps.logps_and_entropies(
      hidden,
      unembedding.reshape(D, parts, size),
      targets,
      jnp.asarray(temperature, jnp.float32),
      width,
      kept,
      softcap,
      absent,
    )
  return logps.reshape(shape), spreads.reshape(shape)
