"""Exponentials of log-ratios that leave a gradient finite, and pointing home.

Beyond `bound` the exponential goes on as its tangent. At 40 the slope, 2e17, is
far past any that one would follow, and its square, which a gradient's norm
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
