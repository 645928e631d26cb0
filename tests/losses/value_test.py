"""Critic losses against worked numbers."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.losses import value

OLD = np.zeros(4, np.float32)
# Inside the clip; outside, towards the return; outside, away from it; at it.
VALUES = np.array([0.1, 0.8, -0.8, 1.0], np.float32)
RETURNS = np.ones(4, np.float32)
clipped = functools.partial(value.clipped_squared_error, clip_epsilon=0.2)


class SquaredErrorTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_has_the_half(self):
    actual = self.variant(value.squared_error)(VALUES, RETURNS)
    np.testing.assert_allclose(actual, [0.405, 0.02, 1.62, 0.0], rtol=1e-5)

  def test_its_gradient_is_the_error(self):
    slopes = jax.grad(lambda v: jnp.sum(value.squared_error(v, RETURNS)))(
      VALUES
    )
    np.testing.assert_allclose(slopes, VALUES - RETURNS)

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      value.squared_error(VALUES, RETURNS[:1])


class ClippedSquaredErrorTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    actual = self.variant(clipped)(VALUES, OLD, RETURNS)
    # The clipped values are 0.1, 0.2, −0.2, 0.2; the larger error counts.
    expected = 0.5 * np.array([0.9, 0.8, 1.8, 0.8]) ** 2
    np.testing.assert_allclose(actual, expected, rtol=1e-5)

  def test_no_gradient_beyond_the_clip_towards_the_return(self):
    slopes = jax.grad(lambda v: jnp.sum(clipped(v, OLD, RETURNS)))(VALUES)
    np.testing.assert_allclose(slopes, [-0.9, 0.0, -1.8, 0.0], rtol=1e-6)

  def test_gradients(self):
    jax.test_util.check_grads(
      lambda v: clipped(v, OLD, RETURNS), (VALUES,), 1, ['rev'], rtol=2e-2
    )

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      clipped(VALUES, OLD[:1], RETURNS)
    with self.assertRaises(AssertionError):
      clipped(VALUES, OLD, RETURNS[None])
