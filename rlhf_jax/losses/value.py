"""What a critic is fitted by: half the squared error of its value."""

import chex
import jax.numpy as jnp

from rlhf_jax.types.rules import Bound


def squared_error(values: chex.Array, returns: chex.Array) -> chex.Array:
  """½ (v − G)² [...], in reward units squared, not averaged.

  Args:
    values: [...] the critic's, before each token.
    returns: [...] what followed, a target made elsewhere.
  """
  chex.assert_type([values, returns], float)
  chex.assert_equal_shape([values, returns])
  return 0.5 * (values - returns) ** 2


def clipped_squared_error(
  values: chex.Array,
  old_values: chex.Array,
  returns: chex.Array,
  *,
  clip_epsilon: Bound,
) -> chex.Array:
  """The squared error of a critic held near what it said before the update.

  ½ max((v − G)², (v_clip − G)²) with v_clip = v_old + clip(v − v_old, ±ε).

  Args:
    values: [...] the critic's now.
    old_values: [...] the same before this round of updates.
    returns: [...] targets.
    clip_epsilon: ε, in reward units (not a ratio).

  Returns:
    [...] losses, not averaged; more than `squared_error` exactly where the
    clip took the gradient.

  Source: the PPO of OpenAI Baselines; Engstrom et al. 2020, section 3.
  """
  chex.assert_equal_shape([values, old_values])
  moves = jnp.clip(values - old_values, -clip_epsilon, clip_epsilon)
  return jnp.maximum(
    squared_error(values, returns), squared_error(old_values + moves, returns)
  )
