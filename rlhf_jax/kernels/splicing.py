"""Rows made of the tokens of two others."""

import functools

import chex
import jax
import jax.numpy as jnp


@functools.partial(jax.jit, static_argnames='width')
def splice(
  head_tokens: chex.Array,
  head_mask: chex.Array,
  tail_tokens: chex.Array,
  tail_mask: chex.Array,
  width: int,
) -> tuple[chex.Array, chex.Array, chex.Array]:
  """Each row's masked head tokens, then its masked tail tokens, without gaps.

  So a prompt of one row meets the response of another, or a prompt and one
  response become the head of a second response. The masks may pick any
  positions; tokens keep their order.

  Args:
    head_tokens: [N, H] int.
    head_mask: [N, H] bool.
    tail_tokens: [N, T] int.
    tail_mask: [N, T] bool.
    width: of the new rows, at least 1; what does not fit is cut off.

  Returns:
    tokens [N, width], padded with 0 on the right; the mask [N, width] of real
    tokens; and the mask [N, width] of the tail tokens.
  """
  chex.assert_rank([head_tokens, head_mask, tail_tokens, tail_mask], 2)
  chex.assert_type(
    [head_tokens, head_mask, tail_tokens, tail_mask], [int, bool, int, bool]
  )
  chex.assert_equal_shape([head_tokens, head_mask])
  chex.assert_equal_shape([tail_tokens, tail_mask])
  chex.assert_equal_shape_prefix([head_tokens, tail_tokens], 1)

  def place(tokens, mask):  # One row.
    column = jnp.where(mask, jnp.cumsum(mask) - 1, width)
    return jnp.zeros(width, tokens.dtype).at[column].set(tokens, mode='drop')

  tokens = jnp.concatenate([head_tokens, tail_tokens], axis=1)
  mask = jnp.concatenate([head_mask, tail_mask], axis=1)
  column = jnp.arange(width)[None]
  head_end = jnp.sum(head_mask, axis=1, keepdims=True)
  real = column < jnp.sum(mask, axis=1, keepdims=True)
  return jax.vmap(place)(tokens, mask), real, real & (column >= head_end)
