"""Ratios and the weights made of them, against worked numbers."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import divergences, importance

OLD = np.zeros((2, 3), np.float32)
# Ratios 0.5, 2, 4 and geometric mean 4^(1/3); then 1.1, 1.2 and √1.32.
NEW = np.log([[0.5, 2.0, 4.0], [1.1, 1.2, 9.0]]).astype(np.float32)
MASK = np.array([[True, True, True], [True, True, False]])


class RatiosTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_of_tokens(self):
    actual = self.variant(importance.ratios)(NEW - 1.0, OLD - 1.0)
    expected = [[0.5, 2.0, 4.0], [1.1, 1.2, 9.0]]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(0.0, 0.1, 0.5, 1.0)
  def test_relative_to_a_mixture(self, share):
    # Whole responses: no float32 holds exp(−200), and a float64 does.
    own = np.float32([-200.0, -200.0, -230.0, -3.0, -200.0])
    kept = np.float32([-200.0, -230.0, -200.0, -5.0, -203.0])
    p, q = np.exp(own.astype(np.float64)), np.exp(kept.astype(np.float64))
    expected = np.log(p / (share * p + (1.0 - share) * q))
    ratios = functools.partial(importance.relative_log_ratios, share=share)
    actual = self.variant(ratios)(own, kept)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)

  def test_relative_ratios_refuse_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      importance.relative_log_ratios(OLD, OLD[:1], share=0.1)

  @chex.variants(with_jit=True, without_jit=True)
  def test_of_sequences(self):
    actual = self.variant(importance.sequence_ratios)(NEW, OLD, MASK)
    expected = np.array([[4.0 ** (1 / 3)] * 3, [1.32**0.5] * 3])
    np.testing.assert_allclose(actual, expected, rtol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  def test_of_responses(self):
    actual = self.variant(importance.response_ratios)(
      NEW - 1.0, OLD - 1.0, MASK
    )
    np.testing.assert_allclose(actual, [[4.0] * 3, [1.32] * 3], rtol=1e-6)

  @parameterized.parameters(
    importance.sequence_ratios, importance.response_ratios
  )
  def test_of_a_row_without_tokens(self, whole):
    junk = np.full((1, 3), np.nan, np.float32)

    def scalar(logps):
      return jnp.sum(whole(logps, OLD[:1], np.zeros((1, 3), bool)))

    value, slope = jax.value_and_grad(scalar)(junk)
    self.assertEqual(float(value), 3.0)
    np.testing.assert_array_equal(slope, 0.0)

  def test_far_apart_and_of_no_advantage_is_zero(self):
    def scalar(logps):
      return 0.0 * importance.ratios(logps, jnp.float32(0.0))

    value, slope = jax.value_and_grad(scalar)(jnp.float32(200.0))
    self.assertEqual((float(value), float(slope)), (0.0, 0.0))

  def test_gradients(self):
    wholes = (importance.sequence_ratios, importance.response_ratios)
    for function in (
      importance.ratios,
      *(functools.partial(whole, mask=MASK) for whole in wholes),
    ):
      jax.test_util.check_grads(function, (NEW, OLD), 1, ['rev'], rtol=2e-2)

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      importance.ratios(NEW, OLD[:1])
    with self.assertRaises(AssertionError):
      importance.sequence_ratios(NEW, OLD, MASK[:1])
    with self.assertRaises(AssertionError):
      importance.response_ratios(NEW, OLD, MASK[:1])


class ReweightedK3Test(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_its_mean_over_old_samples_is_the_kl_in_value_and_gradient(self):
    logits, old, reference = (
      np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    )

    def mean(x):
      old_logps = jax.nn.log_softmax(old)
      estimates = importance.reweighted_k3(
        jax.nn.log_softmax(x), old_logps, jax.nn.log_softmax(reference)
      )
      return jnp.sum(jnp.exp(old_logps) * estimates)

    def exact(x):
      return divergences.categorical_kl(x, reference)

    actual = self.variant(jax.value_and_grad(mean))(logits)
    chex.assert_trees_all_close(
      actual, jax.value_and_grad(exact)(logits), atol=1e-5
    )

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      importance.reweighted_k3(NEW, OLD, OLD[:1])


class WeightsTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters((0.0, [0.5, 2.0, 3.0]), (0.8, [0.8, 2.0, 3.0]))
  def test_truncated(self, low, expected):
    weigh = functools.partial(importance.truncated_weights, low=low, high=3.0)
    actual = self.variant(weigh)(NEW, OLD)
    np.testing.assert_allclose(actual[0], expected, rtol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  def test_masked(self):
    weigh = functools.partial(importance.masked_weights, low=0.8, high=3.0)
    actual = self.variant(weigh)(NEW, OLD)
    np.testing.assert_allclose(
      actual, [[0.0, 2.0, 0.0], [1.1, 1.2, 0.0]], rtol=1e-6
    )

  @chex.variants(with_jit=True, without_jit=True)
  def test_sequence_masked(self):
    weigh = functools.partial(
      importance.sequence_masked_weights, low=0.9, high=1.2
    )
    actual = self.variant(weigh)(NEW, OLD, MASK)
    # 4^(1/3) is too far from 1, √1.32 is not.
    np.testing.assert_allclose(
      actual, [[0.0, 0.0, 0.0], [1.1, 1.2, 9.0]], rtol=1e-6
    )
    flipped = self.variant(weigh)(OLD, NEW, MASK)  # 4^(−1/3), 1.32^(−1/2).
    np.testing.assert_array_equal(flipped, 0.0)

  def test_overflow_is_bounded(self):
    far = np.array([500.0, -500.0], np.float32)
    zero = np.zeros(2, np.float32)
    np.testing.assert_array_equal(
      importance.truncated_weights(far, zero, high=2.0), [2.0, 0.0]
    )
    np.testing.assert_array_equal(
      importance.masked_weights(far, zero, low=0.5, high=2.0), [0.0, 0.0]
    )

  def test_stop_the_gradient(self):
    bounds = {'low': 0.1, 'high': 20.0}
    for weigh in (
      functools.partial(importance.truncated_weights, **bounds),
      functools.partial(importance.masked_weights, **bounds),
      functools.partial(
        importance.sequence_masked_weights, mask=MASK, **bounds
      ),
    ):
      slopes = jax.grad(lambda x, y, f=weigh: jnp.sum(f(x, y)), (0, 1))(
        NEW, OLD
      )
      chex.assert_trees_all_equal(slopes, (OLD, OLD))
