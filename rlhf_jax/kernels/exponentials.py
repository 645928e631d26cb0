"""Exponentials of log-ratios that leave a gradient finite, and pointing home.

Beyond `bound` the exponential goes on as its tangent. At 40 the gradient, 2e17,
is far past any that one would follow, and its square, which a gradient's norm
sums, still fits in float32.
"""

import chex
import jax.numpy as jnp


def tangent_exp(x: chex.Array, *, bound: float = 40.0) -> chex.Array:
  """exp(x) [...], and past `bound` its tangent there."""
  chex.assert_type(x, float)
  exponent = jnp.minimum(x, bound)
  return jnp.exp(exponent) * (1.0 + (x - exponent))


def tangent_expm1(x: chex.Array, *, bound: float = 40.0) -> chex.Array:
  """exp(x) − 1 [...], exact near 0, and past `bound` its tangent there."""
  chex.assert_type(x, float)
  exponent = jnp.minimum(x, bound)
  return jnp.expm1(exponent) + jnp.exp(exponent) * (x - exponent)


def bent(x: chex.Array, alpha: chex.Numeric) -> chex.Array:
  """(1 − exp(−α x)) / α [...], a log x bent by a power; x itself at α = 0.

  With α > 0 it falls ever faster as x does, with α < 0 it levels off. Past
  −α x = 40 it goes on as its tangent. So near 0 that the quotient would lose
  its digits to underflow, α counts as 0: no digit of float32 differs.
  """
  is_straight = jnp.abs(alpha) < 1e-20
  safe = jnp.where(is_straight, 1.0, alpha)
  return jnp.where(is_straight, x, -tangent_expm1(-safe * x) / safe)
