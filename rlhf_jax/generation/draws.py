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

# Larger vocabularies are summed in so many blocks first: a cumulative sum of
# the whole is slower, and its rounding is not far below the probabilities that
# it adds. So many divide over the shards of a vocabulary, whatever its size.
BLOCKS = 128
BELOW_ONE = 1.0 - 2.0**-24


def inverse_cdf(
  keys: chex.Array, logits: chex.Array
) -> tuple[chex.Array, chex.Array]:
  """Inverts the cumulative distribution at one uniform variate a row.

  One random number where `gumbel` needs V, and one exponential a token, from
  which the log-prob comes too.
  """
  chex.assert_rank(logits, 2)
  top = jnp.max(logits, axis=-1, keepdims=True)
  weights = jnp.exp(logits - top)
  tokens = invert(weights, jax.vmap(jax.random.uniform)(keys))
  total = jnp.sum(weights, axis=-1)
  return tokens, chosen(logits, tokens) - top[:, 0] - jnp.log(total)


def invert(weights: chex.Array, uniform: chex.Array) -> chex.Array:
  """[N] int32, the first token where the share of all so far exceeds uniform.

  Args:
    weights: [N, V], proportional to probabilities. A token of 0 is never taken.
    uniform: [N] in [0, 1).
  """
  vocabulary = weights.shape[-1]
  if vocabulary <= BLOCKS:
    return first_beyond(weights, uniform)[0]
  blocks = jnp.pad(weights, ((0, 0), (0, -vocabulary % BLOCKS)))
  blocks = blocks.reshape(-1, BLOCKS, blocks.shape[-1] // BLOCKS)
  block, rest = first_beyond(jnp.sum(blocks, axis=-1), uniform)
  # A sum, not a gather, for which shards would have to send their blocks.
  taken = jax.nn.one_hot(block, BLOCKS, dtype=bool)
  within = jnp.sum(jnp.where(taken[..., None], blocks, 0.0), axis=1)
  return block * blocks.shape[2] + first_beyond(within, rest)[0]


def first_beyond(
  weights: chex.Array, share: chex.Array
) -> tuple[chex.Array, chex.Array]:
  """Where the cumulative sum exceeds so much of the whole.

  Args:
    weights: [N, M] ≥ 0. One of 0 is never taken.
    share: [N] in [0, 1).

  Returns:
    [N] int32 the first such index, and [N] in [0, 1) how much of its own weight
    is below.
  """
  # The sum may round up at a weight of 0.
  cdf = jnp.where(weights > 0.0, jnp.cumsum(weights, axis=-1), 0.0)
  target = share * jnp.max(cdf, axis=-1)
  index = jnp.argmax(cdf > target[:, None], axis=-1).astype(jnp.int32)
  above = chosen(cdf, index) - target
  rest = 1.0 - above / chosen(weights, index)
  return index, jnp.clip(rest, 0.0, BELOW_ONE)


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


# Those whose log-probs are the softmax of the logits.
FROM_SOFTMAX = (inverse_cdf, gumbel)


def chosen(each: chex.Array, tokens: chex.Array) -> chex.Array:
  """[N] entries of [N, V] at tokens [N]."""
  return jnp.take_along_axis(each, tokens[:, None], axis=-1)[:, 0]
