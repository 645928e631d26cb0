"""Transforms of next-token logits, one function each.

Each maps float32 logits [..., V] to logits [..., V], −inf where a token is
removed. Ties are as in the `generate` function of Hugging Face transformers:
top-k and typical keep the tokens that tie with the last one kept, top-p does
not.
"""

import chex
import jax
import jax.numpy as jnp


def penalise_repetition(
  logits: chex.Array, seen: chex.Array, penalty: chex.Numeric
) -> chex.Array:
  """Divides the positive logits of tokens seen before, multiplies the others.

  Args:
    seen: [..., V] bool, True where a token has occurred.
    penalty: above 1 discourages repetition, below 1 encourages it.

  Source: Keskar et al. 2019, section 4.1, with the sign corrected.
  """
  chex.assert_type(seen, bool)
  chex.assert_equal_shape([logits, seen])
  penalised = jnp.where(logits < 0.0, logits * penalty, logits / penalty)
  return jnp.where(seen, penalised, logits)


def delay_stop(
  logits: chex.Array,
  step: chex.Numeric,
  min_new_tokens: chex.Numeric,
  stop_ids: tuple[int, ...],
) -> chex.Array:
  """Removes the stop ids until min_new_tokens are written; step counts them.

  It counts for all, or is an array of the logits' rank that broadcasts to them.
  """
  is_stop = among(jnp.arange(logits.shape[-1]), stop_ids)
  is_stop, is_early = (
    jnp.broadcast_to(x, logits.shape) for x in (is_stop, step < min_new_tokens)
  )
  return jnp.where(is_stop & is_early, -jnp.inf, logits)


def among(tokens: chex.Array, stop_ids: tuple[int, ...]) -> chex.Array:
  """[...] bool, True on stop ids."""
  return jnp.isin(tokens, jnp.asarray(stop_ids, jnp.int32))


def cut_top_k(logits: chex.Array, k: chex.Numeric, *, bound: int) -> chex.Array:
  """Keeps the k most likely tokens, and every token tied with the k-th.

  Args:
    k: how many, traced; above `bound` it counts as `bound`.
    bound: how many tokens are sorted, static.
  """
  best, _ = jax.lax.top_k(logits, bound)
  last = jnp.clip(k, 1, bound) - 1
  lowest = jax.lax.dynamic_index_in_dim(best, last, axis=-1)
  return keep_where(logits, logits >= lowest)


def cut_top_p(
  logits: chex.Array, p: chex.Numeric, *, bound: int, keep: int = 1
) -> chex.Array:
  """Keeps the fewest most likely tokens whose probability reaches p.

  Args:
    p: mass to reach; the token that crosses it stays.
    bound: how many tokens are sorted, and so how many can stay.
    keep: how many tokens stay at least.

  Source: Holtzman et al. 2020, eq. 2.
  """
  best, indices = jax.lax.top_k(logits, bound)
  probs = jnp.exp(best - jax.nn.logsumexp(logits, axis=-1, keepdims=True))
  mass_before = jnp.cumsum(probs, axis=-1) - probs
  # A sum can round to 1 before the last token, and p = 1 must cut nothing.
  kept = (mass_before < p) | (p >= 1.0) | (places(best) < keep)
  last = jnp.sum(kept, axis=-1, keepdims=True) - 1
  lowest = jnp.take_along_axis(best, last, axis=-1)
  lowest_index = jnp.take_along_axis(indices, last, axis=-1)
  # lax.top_k orders equal logits by index, so this splits a tie exactly.
  tied = (logits == lowest) & (places(logits) <= lowest_index)
  return keep_where(logits, (logits > lowest) | tied)


def cut_min_p(
  logits: chex.Array, p: chex.Numeric, *, keep: int = 1
) -> chex.Array:
  """Keeps tokens at least p times as likely as the likeliest.

  Source: Nguyen et al. 2024, section 3.
  """
  best = jnp.max(logits, axis=-1, keepdims=True)
  likely = jnp.exp(logits - best) >= p
  return keep_where(logits, likely | among_best(logits, keep))


def cut_typical(
  logits: chex.Array, p: chex.Numeric, *, bound: int, keep: int = 1
) -> chex.Array:
  """Keeps tokens whose surprise is nearest the entropy, up to a mass of p.

  Args:
    p: mass to reach; the token that crosses it stays, and its ties.
    bound: how many tokens are sorted, and so how many can stay, ties aside.
    keep: how many tokens stay at least.

  Source: Meister et al. 2023, eq. 8.
  """
  logps = jax.nn.log_softmax(logits)
  entropy = entropies(logps)[..., None]
  distances = jnp.abs(-logps - entropy)
  nearest, indices = jax.lax.top_k(-distances, bound)
  probs = jnp.exp(jnp.take_along_axis(logps, indices, axis=-1))
  short = jnp.cumsum(probs, axis=-1) < p
  last = jnp.maximum(jnp.sum(short, axis=-1, keepdims=True), keep - 1)
  last = jnp.minimum(last, bound - 1)
  furthest = jnp.take_along_axis(nearest, last, axis=-1)
  return keep_where(logits, -distances >= furthest)


def cut_epsilon(
  logits: chex.Array, epsilon: chex.Numeric, *, keep: int = 1
) -> chex.Array:
  """Keeps tokens of probability epsilon or more.

  Source: Hewitt et al. 2022, section 4.
  """
  likely = jax.nn.softmax(logits) >= epsilon
  return keep_where(logits, likely | among_best(logits, keep))


def cut_eta(
  logits: chex.Array, eta: chex.Numeric, *, keep: int = 1
) -> chex.Array:
  """Keeps tokens of probability min(η, √η exp(−entropy)) or more.

  Source: Hewitt et al. 2022, section 4.2.
  """
  logps = jax.nn.log_softmax(logits)
  scale = jnp.exp(-entropies(logps))[..., None]
  threshold = jnp.minimum(eta, jnp.sqrt(eta) * scale)
  likely = jnp.exp(logps) >= threshold
  return keep_where(logits, likely | among_best(logits, keep))


def keep_where(logits: chex.Array, kept: chex.Array) -> chex.Array:
  """Logits where `kept`, −inf elsewhere."""
  return jnp.where(kept, logits, -jnp.inf)


def among_best(logits: chex.Array, count: int) -> chex.Array:
  """[..., V] bool, True on the `count` most likely tokens and their ties."""
  if count == 1:
    return logits == jnp.max(logits, axis=-1, keepdims=True)
  best, _ = jax.lax.top_k(logits, min(count, logits.shape[-1]))
  return logits >= best[..., -1:]


def entropies(logps: chex.Array) -> chex.Array:
  """[...] entropies in nats of normalised log-probs [..., V], −inf allowed."""
  probs = jnp.exp(logps)
  return -jnp.sum(jnp.where(probs > 0.0, probs * logps, 0.0), axis=-1)


def places(x: chex.Array) -> chex.Array:
  """0, 1, 2 … along the last axis, in the shape of x."""
  return jax.lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
