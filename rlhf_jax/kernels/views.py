"""Views of a prompt: two different responses of one policy, drawn at random.

Source: Lang, Huang & Li 2024 (RLP), §3.1: a view is the prompt with one
response out of the policy's samples, and two draws give two views.
"""

import chex
import jax
import jax.numpy as jnp


def different(
  tokens: chex.Array, mask: chex.Array, candidate_mask: chex.Array
) -> chex.Array:
  """[K, K] bool, True for two candidates that differ in a token.

  Args:
    tokens: [K, T] int.
    mask: [K, T] bool, True on the tokens that are compared.
    candidate_mask: [K] bool, True on responses.
  """
  chex.assert_type([tokens, mask, candidate_mask], [int, bool, bool])
  chex.assert_rank([tokens, candidate_mask], [2, 1])
  chex.assert_equal_shape([tokens, mask])
  chex.assert_equal_shape_prefix([tokens, candidate_mask], 1)

  compared = jnp.where(mask, tokens, -1)
  differ = jnp.any(compared[:, None] != compared[None], axis=-1)
  return differ & candidate_mask[:, None] & candidate_mask[None]


def draw(
  key: chex.PRNGKey, allowed: chex.Array
) -> tuple[chex.Array, chex.Array]:
  """A pair of responses, uniform among the ordered pairs that are allowed.

  The same as drawing two without replacement, and again if their texts are
  equal.

  Args:
    key: consumed.
    allowed: [K, K] bool, False on the diagonal.

  Returns:
    [2] int32 indices, and [] bool whether any pair is allowed; without one the
    indices mean nothing.
  """
  chex.assert_type(allowed, bool)
  chex.assert_rank(allowed, 2)
  K, _ = allowed.shape
  chex.assert_shape(allowed, (K, K))
  logits = jnp.where(allowed.ravel(), 0.0, -jnp.inf)
  found = jnp.any(allowed)
  place = jax.random.categorical(key, jnp.where(found, logits, 0.0))
  return jnp.stack(jnp.divmod(place, K)).astype(jnp.int32), found


def prompt_ids(tokens: chex.Array, mask: chex.Array) -> chex.Array:
  """[B] int32, equal for rows with the same prompt: the first such row.

  Args:
    tokens: [B, T] int.
    mask: [B, T] bool, True on the prompt's tokens.
  """
  chex.assert_type([tokens, mask], [int, bool])
  chex.assert_rank(tokens, 2)
  chex.assert_equal_shape([tokens, mask])
  prompts = jnp.where(mask, tokens, -1)
  same = jnp.all(prompts[:, None] == prompts[None], axis=-1)
  return jnp.argmax(same, axis=1).astype(jnp.int32)
