"""Which pairs (first view of i, second view of j) are of one prompt, or of two.

Masks [B, B] of the whole batch; a shard of a batch takes its rows of them.
"""

import chex
import jax.numpy as jnp


def positive_pairs(mask: chex.Array) -> chex.Array:
  """[B, B] bool, each row of mask [B] with itself."""
  chex.assert_rank(mask, 1)
  chex.assert_type(mask, bool)
  return jnp.eye(mask.shape[0], dtype=bool) & mask[:, None]


def negative_pairs(prompt_ids: chex.Array, mask: chex.Array) -> chex.Array:
  """[B, B] bool, rows of mask [B] whose prompts [B] differ.

  Two rows of one prompt are left out: they are no draw from the marginals.
  """
  chex.assert_rank([prompt_ids, mask], 1)
  chex.assert_type([prompt_ids, mask], [int, bool])
  chex.assert_equal_shape([prompt_ids, mask])
  differ = prompt_ids[:, None] != prompt_ids[None, :]
  return differ & mask[:, None] & mask[None, :]


def rolled_pairs(
  prompt_ids: chex.Array, mask: chex.Array, *, shift: int = 1
) -> chex.Array:
  """[B, B] bool, those `negative_pairs` that are (i, i + shift mod B).

  Source: Federici et al. 2020, the released code, of one negative a row.
  """
  itself = jnp.eye(mask.shape[0], dtype=bool)
  negatives = negative_pairs(prompt_ids, mask)
  return negatives & jnp.roll(itself, shift, axis=1)
