"""Advantages and returns along one response; vmap for a batch.

The recurrence runs as a sequential scan. On CPU, at 2048 tokens, it measured
1.1 to 2 times faster than jax.lax.associative_scan for 64 responses and equal
for one, and it compiles in a quarter of the time.
"""

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.types.rules import Share


@jax.jit
def gae(
  rewards: chex.Array,
  values: chex.Array,
  mask: chex.Array,
  *,
  discount: Share = 1.0,
  gae_lambda: Share = 0.95,
) -> tuple[chex.Array, chex.Array]:
  """Generalised advantage estimates along one response.

  Aₜ = Σₖ (γλ)ᵏ δₜ₊ₖ with δₜ = rₜ + γ vₜ₊₁ − vₜ, and v is 0 past the last token.
  To bootstrap a response that was cut short from a value v beyond its end, add
  γ v to its last reward.

  Args:
    rewards: [R] reward for emitting token t.
    values: [R] critic's estimate before token t, in the same units.
    mask: [R] bool, True on response tokens, which come first.
    discount: γ, in [0, 1].
    gae_lambda: λ, in [0, 1]; 1 gives returns minus values, 0 one-step errors.

  Returns:
    [R] advantages and [R] returns, 0 where masked. Both are targets: no
    gradient flows through them.

  Source: Schulman et al. 2016, eq. 16.
  """
  chex.assert_rank([rewards, values, mask], 1)
  chex.assert_type([rewards, values, mask], [float, float, bool])
  chex.assert_equal_shape([rewards, values, mask])

  values = jnp.where(mask, values.astype(jnp.float32), 0.0)
  next_values = jnp.append(values[1:], 0.0)
  deltas = jnp.where(mask, rewards + discount * next_values - values, 0.0)
  advantages = _discounted_sums(deltas, discount * gae_lambda)
  return jax.lax.stop_gradient((advantages, advantages + values))


@jax.jit
def discounted_returns(
  rewards: chex.Array, mask: chex.Array, *, discount: Share = 1.0
) -> chex.Array:
  """Discounted sum of the rewards from each token on, Gₜ = Σₖ γᵏ rₜ₊ₖ.

  Args:
    rewards: [R] reward for emitting token t.
    mask: [R] bool, True on response tokens, which come first.
    discount: γ, in [0, 1].

  Returns:
    [R] returns, 0 where masked; a target: no gradient flows through them.

  Source: Sutton and Barto 2018, eq. 3.8.
  """
  chex.assert_rank([rewards, mask], 1)
  chex.assert_type([rewards, mask], [float, bool])
  chex.assert_equal_shape([rewards, mask])
  rewards = jnp.where(mask, rewards, 0.0)
  return jax.lax.stop_gradient(_discounted_sums(rewards, discount))


def one_step_returns(
  score: chex.Array,
  penalties: chex.Array,
  mask: chex.Array,
  *,
  discount: Share = 1.0,
) -> chex.Array:
  """Discounted score of one response, less each token's own penalty.

  Gₜ = γ^(T − t) r − pₜ for t = 0 … T − 1. Later penalties do not count, unlike
  in `discounted_returns`, and the last token's score is discounted once.

  Args:
    score: [] of the whole response, in reward units, its baseline taken off.
    penalties: [R] of emitting token t, such as β (log π − log π_ref).
    mask: [R] bool, True on the T response tokens, which come first.
    discount: γ, in [0, 1].

  Returns:
    [R] returns, 0 where masked; a target: no gradient flows through them.

  Source: Li et al. 2024 (ReMax), the released code.
  """
  chex.assert_rank([score, penalties, mask], [0, 1, 1])
  chex.assert_type([score, penalties, mask], [float, float, bool])
  chex.assert_equal_shape([penalties, mask])
  steps_left = jnp.cumsum(mask[::-1])[::-1]
  discounts = jnp.asarray(discount, jnp.float32) ** steps_left
  returns = jnp.where(mask, discounts * score - penalties, 0.0)
  return jax.lax.stop_gradient(returns)


def _discounted_sums(x, decay):
  """yₜ = xₜ + decay · yₜ₊₁ along [R], in float32."""

  def step_back(later, here):
    total = here + decay * later
    return total, total

  x = x.astype(jnp.float32)
  _, sums = jax.lax.scan(step_back, jnp.zeros((), x.dtype), x, reverse=True)
  return sums
