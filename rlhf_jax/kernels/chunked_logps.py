"""Log-probs and entropies, computed over chunks of the vocabulary.

The work behind `distributions.fused_token_logps`. No array is as large as the
logits [N, V] once these are large. The forward pass keeps running sums per row.
The backward pass recomputes the products of most chunks, a fourth matrix
product beside the three that it needs anyway; a fixed amount of memory holds
those of the others.

Chunks cut the vocabulary and not the rows, so that a chunk's part of the
gradient of the unembedding is final when it is computed: it is written (and,
over a mesh, summed across devices) once. The unembedding comes as S equal
strips [D, S, V / S], and a chunk takes the same columns of every strip. With
one strip for each part of the vocabulary on the mesh, each device computes on
its own part, and nothing of the unembedding travels.
"""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from rlhf_jax import sharding

# Logits of one chunk on a CPU (16 MiB): few enough to stay near the core,
# enough for products to run at full speed.
CHUNK_LOGITS = 2**22
# On an accelerator (256 MiB): split over a mesh, each chunk of the unembedding
# is gathered on its own, and products of few columns leave units idle.
ACCELERATOR_CHUNK_LOGITS = 2**26
# Logits that a device keeps from the forward pass (256 MiB): half of those of
# 4096 rows and 32 k columns, which takes 1.2 times as long as keeping them all,
# where keeping none takes 1.3 times as long.
KEPT_LOGITS = 2**26
LANES = 128  # Columns that a TPU or a GPU works on at once.


def device_counts(columns: int) -> tuple[int, int]:
  """The devices that share logits [N, V], and those that share their columns.

  Read off the mesh that is set: rows lie along any of its axes, the vocabulary
  along `tensor` where that divides it. Both are 1 where no mesh is set.
  """
  mesh = jax.sharding.get_abstract_mesh()
  # What is inside a shard_map has been divided by its axes already.
  sizes = {a: n for a, n in mesh.shape.items() if a not in mesh.manual_axes}
  parts = sizes.get('tensor', 1)
  return math.prod(sizes.values()), parts if columns % parts == 0 else 1


def chunk_sizes(held: int, size: int) -> tuple[int, int]:
  """`width` and `kept` of `logps_and_entropies`.

  Args:
    held: how many of the logits [N, V] a device holds.
    size: columns of a strip.
  """
  column = max(1, held // size)  # Logits in one column of every strip.
  cpu = sharding.platform() == 'cpu'
  most = CHUNK_LOGITS if cpu else ACCELERATOR_CHUNK_LOGITS
  width = min(math.ceil(most / column / LANES) * LANES, size)
  return width, min(KEPT_LOGITS // (width * column), size // width)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6, 7))
def logps_and_entropies(
  hidden: chex.Array,
  strips: chex.Array,
  targets: chex.Array,
  temperature: chex.Array,
  width: int,
  kept: int,
  softcap: float | None,
  absent: tuple[int, ...] = (),
) -> tuple[chex.Array, chex.Array]:
  """Log-probs of targets, NaN for one outside the vocabulary, and entropies.

  Args:
    hidden: [N, D].
    strips: [D, S, V / S], the unembedding.
    targets: [N] int.
    temperature: [] float32.
    width: how many columns of each strip are a chunk; static.
    kept: how many chunks keep their products for the backward pass; static.
    softcap: as in `cap`; static.
    absent: ids of probability 0; static.

  Returns:
    [N] log-probs and [N] entropies, float32, in nats.

  Source: Milakov and Gimelshein 2018, algorithm 3, for the running sums; here
  also of the gaps to the maximum, which give the entropy without cancellation.
  """
  arguments = hidden, strips, targets, temperature
  outputs, _ = _forward(*arguments, width, kept, softcap, absent)
  return outputs


def product(subscripts: str, left: chex.Array, right: chex.Array) -> chex.Array:
  """Einsum of two arrays of any float type, accumulated in float32."""
  return jnp.einsum(subscripts, left, right, preferred_element_type=jnp.float32)


def present(vocabulary: int, absent: tuple[int, ...]) -> np.ndarray:
  """[V] bool, False on the absent ids."""
  is_token = np.ones(vocabulary, bool)
  is_token[list(absent)] = False
  return is_token


def cap(logits: chex.Array, softcap: float | None) -> chex.Array:
  """softcap · tanh(logits / softcap); the logits themselves under None."""
  return logits if softcap is None else softcap * jnp.tanh(logits / softcap)


def _forward(
  hidden, strips, targets, temperature, width, kept, softcap, absent
):
  """The outputs, and the residuals for the backward pass."""

  def add(sums, columns, start, _):
    top, total, spread, picked = sums
    products = product('nd,dw->nw', hidden, columns)
    tokens = _tokens(absent, strips, columns, start)
    logits = cap(products, softcap) / temperature
    logits = _where(tokens, logits, -jnp.inf)
    new_top = jnp.maximum(top, jnp.max(logits, axis=1))
    # A gap of infinity has weight 0, and 0 · ∞ is NaN.
    gaps = _where(tokens, new_top[:, None] - logits, 0.0)
    weights = _where(tokens, jnp.exp(-gaps), 0.0)
    # What was summed below the old top is brought below the new one.
    rise = new_top - top
    spread = jnp.exp(-rise) * (spread + rise * total)
    spread += jnp.sum(weights * gaps, axis=1)
    total = jnp.exp(-rise) * total + jnp.sum(weights, axis=1)
    hit = _hits(targets, strips, columns, start)
    picked += jnp.sum(jnp.where(hit, logits, 0.0), axis=1)
    return (new_top, total, spread, picked), products

  zeros = jnp.zeros(targets.shape, jnp.float32)
  # A finite start: the rise from −inf would be ∞, and 0 · ∞ is NaN.
  lowest = jnp.full_like(zeros, jnp.finfo(jnp.float32).min / 2)
  (top, total, spread, picked), products = _over_chunks(
    add, (lowest, zeros, zeros, zeros), strips, width, kept, None
  )
  log_total = jnp.log(total)
  known = (targets >= 0) & (targets < strips.shape[1] * strips.shape[2])
  logps = jnp.where(known, picked - top - log_total, jnp.nan)
  entropies = log_total + spread / total
  arguments = hidden, strips, targets, temperature
  statistics = known, top, log_total, entropies
  return (logps, entropies), (arguments, statistics, products)


def _forward_rule(
  hidden, strips, targets, temperature, width, kept, softcap, absent
):
  arguments = (x.value for x in (hidden, strips, targets, temperature))
  return _forward(*arguments, width, kept, softcap, absent)


def _backward_rule(width, kept, softcap, absent, residuals, cotangents):
  """Gradients, from each chunk's logits, most of them recomputed.

  With g and h the cotangents of the log-prob and of the entropy H, that of the
  logit of token v is g · (1[v is the target] − p) − h · p · (log p + H).
  """
  (hidden, strips, targets, temperature), statistics, products = residuals
  known, top, log_total, entropies = statistics
  of_logps, of_entropies = cotangents

  def add(grads, columns, start, products):
    of_hidden, of_strips, of_temperature = grads
    if products is None:
      products = product('nd,dw->nw', hidden, columns)
    logits, pull_back = jax.vjp(
      lambda products, temperature: cap(products, softcap) / temperature,
      products,
      temperature,
    )
    tokens = _tokens(absent, strips, columns, start)
    log_p = _where(tokens, logits - (top + log_total)[:, None], 0.0)
    p = _where(tokens, jnp.exp(log_p), 0.0)
    of_logits = jnp.zeros_like(p)
    # An output without a cotangent costs nothing.
    if not isinstance(of_logps, SymbolicZero):
      scale = jnp.where(known, of_logps, 0.0)[:, None]
      hit = _hits(targets, strips, columns, start)
      of_logits += jnp.where(hit, scale, 0.0) - scale * p
    if not isinstance(of_entropies, SymbolicZero):
      scale = of_entropies[:, None]
      of_logits -= scale * p * (log_p + entropies[:, None])
    of_logits = _where(tokens, of_logits, 0.0)
    of_products, of_this_temperature = pull_back(of_logits)
    of_products = of_products.astype(jnp.result_type(hidden, strips))
    of_columns = product('nd,nw->dw', hidden, of_products)
    of_columns = of_columns.reshape(*strips.shape[:2], -1)
    of_strips = jax.lax.dynamic_update_slice_in_dim(
      of_strips, of_columns.astype(strips.dtype), start, axis=2
    )
    of_hidden += product('nw,dw->nd', of_products, columns)
    return (of_hidden, of_strips, of_temperature + of_this_temperature), None

  grads = (
    jnp.zeros(hidden.shape, jnp.float32),
    jnp.zeros_like(strips),
    jnp.zeros_like(temperature),
  )
  (of_hidden, of_strips, of_temperature), _ = _over_chunks(
    add, grads, strips, width, kept, products
  )
  return of_hidden.astype(hidden.dtype), of_strips, None, of_temperature


logps_and_entropies.defvjp(_forward_rule, _backward_rule, symbolic_zeros=True)


def _over_chunks(step, carry, strips, width, kept, products):
  """Folds carry, out = step(carry, columns, start, in) over the chunks.

  A chunk's columns [D, W] are those from `start` on of every strip. For the
  first `kept` chunks, the products [kept, ...] are stacked: `in` is read from
  them, or `out` returned. The other chunks, and a narrower last one, which is
  visited before all, have `in` = None and drop `out`.
  """
  count, rest = divmod(strips.shape[2], width)

  def visit(carry, start, width, products):
    columns = jax.lax.dynamic_slice_in_dim(strips, start, width, axis=2)
    return step(carry, columns.reshape(len(strips), -1), start, products)

  # First, so that a gradient ends in the loop's own memory: not in a copy.
  if rest:
    carry, _ = visit(carry, strips.shape[2] - rest, rest, None)
  if kept:
    carry, products = jax.lax.scan(
      lambda carry, x: visit(carry, x[0] * width, width, x[1]),
      carry,
      (jnp.arange(kept), products),
    )
  carry = jax.lax.fori_loop(
    kept, count, lambda i, carry: visit(carry, i * width, width, None)[0], carry
  )
  return carry, products


def _tokens(absent, strips, columns, start):
  """[1, W] bool, True where a chunk's column is a token's; None if all are."""
  if not absent:
    return None
  _, S, size = strips.shape
  is_token = jnp.asarray(present(S * size, absent))
  width = columns.shape[1] // S
  return jax.lax.dynamic_slice_in_dim(
    is_token.reshape(S, size), start, width, axis=1
  ).reshape(1, -1)


def _where(tokens, x, other):
  """x [N, W] at the columns of tokens, `other` at absent ids."""
  return x if tokens is None else jnp.where(tokens, x, other)


def _hits(targets, strips, columns, start):
  """[N, W] bool, True where a chunk's column is the target of the row."""
  _, S, size = strips.shape
  width = columns.shape[1] // S
  place = start + size * jnp.arange(S)[:, None] + jnp.arange(width)[None]
  return targets[:, None] == place.reshape(1, -1)
