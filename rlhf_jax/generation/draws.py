"""Drawing a token from logits.

Each rule maps keys [N] and logits [N, V] to tokens [N] int32 and their
log-probs [N] float32 under the distribution that the rule draws from. A row
reads its own key only, and does not depend on other rows. Tokens at −inf are
never drawn.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

Draw = Callable[[chex.Array, chex.Array], tuple[chex.Array, chex.Array]]

# Above this the cumulative sum costs more than a Gumbel variate per token, and
# its rounding is no longer far below the probabilities it adds.
INVERSE_CDF_VOCABULARY = 4096


def inverse_cdf(
  keys: chex.Array, logits: chex.Array
) -> tuple[chex.Array, chex.Array]:
  """Inverts the cumulative distribution at one uniform variate a row.

  For small vocabularies that are not sharded: one random number where `gumbel`
  needs V, and a cumulative sum of V probabilities.
  """
  chex.assert_rank(logits, 2)
  logps = jax.nn.log_softmax(logits)
  uniform = jax.vmap(jax.random.uniform)(keys)
  tokens = invert(jnp.exp(logps), uniform)
  return tokens, chosen(logps, tokens)


def invert(probs: chex.Array, uniform: chex.Array) -> chex.Array:
  """[N] int32, the first token whose cumulative probability exceeds uniform.

  Args:
    probs: [N, V], summing to 1 but for rounding. A token of 0 is never taken.
    uniform: [N] in [0, 1).
  """
  # The sum may round up at a token of probability 0, and not end at exactly 1.
  cdf = jnp.where(probs > 0.0, jnp.cumsum(probs, axis=-1), 0.0)
  target = uniform[:, None] * jnp.max(cdf, axis=-1, keepdims=True)
  return jnp.argmax(cdf > target, axis=-1).astype(jnp.int32)


def gumbel(
  keys: chex.Array, logits: chex.Array
) -> tuple[chex.Array, chex.Array]:
  """Takes the largest of logits + Gumbel noise: no sum over the vocabulary."""
  chex.assert_rank(logits, 2)
  tokens = jax.vmap(jax.random.categorical)(keys, logits).astype(jnp.int32)
  return tokens, chosen(jax.nn.log_softmax(logits), tokens)


def greedy(
  keys: chex.Array, logits: chex.Array
) -> tuple[chex.Array, chex.Array]:
  """Takes the most likely token, the first of equals, with probability 1."""
  del keys  # Nothing here is random.
  chex.assert_rank(logits, 2)
  tokens = jnp.argmax(logits, axis=-1).astype(jnp.int32)
  return tokens, jnp.zeros(tokens.shape, jnp.float32)


def default(vocabulary: int) -> Draw:
  """The faster rule for a vocabulary of this size."""
  return inverse_cdf if vocabulary <= INVERSE_CDF_VOCABULARY else gumbel


def chosen(logps: chex.Array, tokens: chex.Array) -> chex.Array:
  """[N] entries of logps [N, V] at tokens [N]."""
  return jnp.take_along_axis(logps, tokens[:, None], axis=-1)[:, 0]
