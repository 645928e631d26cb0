"""Losses towards a given target: likelihood, labels, returns."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.kernels import masking
from rlhf_jax.losses import supervised

SCORES = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 4.0]], np.float32)
LABELS = np.array([[0.0, 2.5, 9.0], [9.0, 1.0, 9.0]], np.float32)
MASK = np.array([[True, True, False], [False, True, False]])
OLD = np.zeros(4, np.float32)
# Inside the clip; outside, towards the return; outside, away from it; at it.
VALUES = np.array([0.1, 0.8, -0.8, 1.0], np.float32)
RETURNS = np.ones(4, np.float32)
clipped = functools.partial(supervised.clipped_squared_error, clip_epsilon=0.2)


class NegativeLogLikelihoodTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example_under_each_average(self):
    logps = np.array([[-1.0, -2.0], [-3.0, -50.0]], np.float32)
    mask = np.array([[True, True], [True, False]])
    losses = self.variant(supervised.negative_log_likelihood)(logps)
    for reduction, expected in (
      (masking.token_mean, 2.0),
      (masking.sequence_mean, 2.25),
      (masking.sequence_sum, 3.0),
    ):
      self.assertAlmostEqual(
        float(reduction(losses, mask).value), expected, places=6
      )

  def test_gradients(self):
    logps = np.array([-1.0, -2.0], np.float32)
    jax.test_util.check_grads(
      supervised.negative_log_likelihood, (logps,), 1, ['rev'], rtol=1e-2
    )

  def test_refuses_tokens(self):
    with self.assertRaises(AssertionError):
      supervised.negative_log_likelihood(np.array([1, 2]))


class MaskedSquaredErrorTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    actual = self.variant(supervised.masked_squared_error)(SCORES, LABELS, MASK)
    np.testing.assert_allclose(actual, [[1.0, 0.25, 0.0], [0.0, 4.0, 0.0]])

  def test_missing_labels_are_inert(self):
    def total(scores, labels):
      return jnp.sum(supervised.masked_squared_error(scores, labels, MASK))

    clean = jax.value_and_grad(total)(SCORES, LABELS)
    junk = np.where(MASK, LABELS, np.nan).astype(np.float32)
    chex.assert_trees_all_equal(clean, jax.value_and_grad(total)(SCORES, junk))

  def test_gradients(self):
    jax.test_util.check_grads(
      lambda s: supervised.masked_squared_error(s, LABELS, MASK),
      (SCORES,),
      1,
      ['rev'],
      rtol=2e-2,
    )

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      supervised.masked_squared_error(SCORES, LABELS[:1], MASK)
    with self.assertRaises(AssertionError):
      supervised.masked_squared_error(SCORES, LABELS, MASK.astype(np.float32))


class SquaredErrorTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_has_the_half(self):
    actual = self.variant(supervised.squared_error)(VALUES, RETURNS)
    np.testing.assert_allclose(actual, [0.405, 0.02, 1.62, 0.0], rtol=1e-5)

  def test_its_gradient_is_the_error(self):
    slopes = jax.grad(lambda v: jnp.sum(supervised.squared_error(v, RETURNS)))(
      VALUES
    )
    np.testing.assert_allclose(slopes, VALUES - RETURNS)

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      supervised.squared_error(VALUES, RETURNS[:1])


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
