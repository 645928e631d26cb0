"""Estimators against closed forms, and against the KL they estimate."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import divergences

ESTIMATORS = (
  divergences.k1,
  divergences.k2,
  divergences.k3,
  divergences.absolute,
)


def laws(seed=0, size=6):
  """Two categorical laws over `size` tokens, as logits."""
  draws = np.random.default_rng(seed).normal(size=(2, size))
  return draws.astype(np.float32)


class EstimatorsTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.named_parameters(
    # d = 0.3, then d = −0.3.
    ('k1', divergences.k1, 0.3, -0.3),
    ('k2', divergences.k2, 0.045, 0.045),
    ('k3', divergences.k3, np.exp(-0.3) - 1 + 0.3, np.exp(0.3) - 1 - 0.3),
    ('absolute', divergences.absolute, 0.3, 0.3),
  )
  def test_worked_example(self, estimator, above, below):
    logps = np.array([-1.0, -1.3], np.float32)
    reference_logps = np.array([-1.3, -1.0], np.float32)
    actual = self.variant(estimator)(logps, reference_logps)
    np.testing.assert_allclose(actual, [above, below], rtol=1e-5)

  @parameterized.parameters(divergences.k1, divergences.k3)
  def test_is_unbiased(self, estimator):
    logits, reference_logits = laws()
    logps = jax.nn.log_softmax(logits)
    reference_logps = jax.nn.log_softmax(reference_logits)
    mean = jnp.sum(jnp.exp(logps) * estimator(logps, reference_logps))
    expected = divergences.categorical_kl(logits, reference_logits)
    np.testing.assert_allclose(mean, expected, rtol=1e-5)

  def test_k2_has_the_gradient_of_the_kl_on_policy(self):
    logits, reference_logits = laws()
    reference_logps = jax.nn.log_softmax(reference_logits)
    weights = jax.nn.softmax(logits)

    def expectation(x):
      logps = jax.nn.log_softmax(x)
      return jnp.sum(weights * divergences.k2(logps, reference_logps))

    expected = jax.grad(divergences.categorical_kl)(logits, reference_logits)
    np.testing.assert_allclose(
      jax.grad(expectation)(logits), expected, atol=1e-6
    )

  def test_k3_keeps_the_digits_of_small_differences(self):
    d = np.array([1e-3, -1e-3, 1e-2], np.float32)
    exact = np.expm1(-d.astype(np.float64)) + d.astype(np.float64)
    actual = divergences.k3(d, np.zeros(3, np.float32))
    np.testing.assert_allclose(actual, exact, rtol=1e-3)

  @parameterized.parameters(-85.0, -100.0, -2000.0)
  def test_k3_far_below_is_finite_and_pulls_back(self, d):
    zero = jnp.float32(0.0)
    value, slope = jax.value_and_grad(divergences.k3)(jnp.float32(d), zero)
    self.assertTrue(np.isfinite(value))
    self.assertGreater(float(value), 1e34)
    self.assertTrue(np.isfinite(slope))
    self.assertLess(float(slope), -1e34)  # Descent raises the log-prob.
    masked = jax.grad(lambda x: jnp.where(False, divergences.k3(x, zero), 0.0))
    self.assertEqual(float(masked(jnp.float32(d))), 0.0)

  def test_k3_is_smooth_where_the_tangent_takes_over(self):
    near = np.array([-79.999, -80.001], np.float32)
    slopes = jax.vmap(jax.grad(divergences.k3))(near, np.zeros(2, np.float32))
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=2e-3)

  @parameterized.parameters(*ESTIMATORS)
  def test_gradients(self, estimator):
    logps = np.array([-1.0, -0.5, -3.0], np.float32)
    reference_logps = np.array([-0.2, -2.5, -2.0], np.float32)
    jax.test_util.check_grads(
      estimator, (logps, reference_logps), 1, ['rev'], rtol=2e-2
    )

  @parameterized.parameters(*ESTIMATORS)
  def test_refuses_what_would_broadcast(self, estimator):
    with self.assertRaises(AssertionError):
      estimator(np.zeros((2, 3), np.float32), np.zeros((2, 1), np.float32))


class CategoricalKlTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_matches_definition(self):
    logits = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    reference_logits = logits[::-1] * 2.0
    p, q = (
      np.exp(x) / np.exp(x).sum(-1, keepdims=True)
      for x in (logits.astype(np.float64), reference_logits.astype(np.float64))
    )
    actual = self.variant(divergences.categorical_kl)(logits, reference_logits)
    expected = (p * np.log(p / q)).sum(-1)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)

  def test_removed_tokens_add_nothing(self):
    logits, reference_logits = laws()
    cut = np.append(logits, -np.inf).astype(np.float32)
    for last in (-np.inf, -200.0):
      reference = np.append(reference_logits, last).astype(np.float32)
      value, slope = jax.value_and_grad(divergences.categorical_kl)(
        cut, reference
      )
      expected, expected_slope = jax.value_and_grad(divergences.categorical_kl)(
        logits, reference_logits
      )
      np.testing.assert_allclose(value, expected, rtol=1e-6)
      np.testing.assert_allclose(
        slope, np.append(expected_slope, 0.0), atol=1e-6
      )

  def test_is_infinite_outside_the_reference(self):
    logits, reference_logits = laws()
    reference_logits[2] = -np.inf
    kl = divergences.categorical_kl(logits, reference_logits)
    self.assertEqual(float(kl), np.inf)

  def test_gradients(self):
    jax.test_util.check_grads(
      divergences.categorical_kl, tuple(laws()), 1, ['rev'], rtol=2e-2
    )

  def test_refuses_what_would_broadcast(self):
    logits, _ = laws()
    with self.assertRaises(AssertionError):
      divergences.categorical_kl(logits[None], logits)


BOTH = ((divergences.tangent_exp, 0.0), (divergences.tangent_expm1, 1.0))


class TangentTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.named_parameters((f.__name__, f, less) for f, less in BOTH)
  def test_is_exp_below_the_bound(self, function, less):
    x = np.float32([-1e3, -5.0, 0.0, 1.0, 39.0])
    expected = np.exp(x.astype(np.float64)) - less
    np.testing.assert_allclose(self.variant(function)(x), expected, rtol=1e-5)

  @parameterized.parameters(*BOTH)
  def test_goes_on_as_its_tangent(self, function, less):
    x = np.float32([3.0, 4.0, 10.0])
    expected = np.exp(2.0) * (1.0 + (x - 2.0)) - less
    np.testing.assert_allclose(function(x, bound=2.0), expected, rtol=1e-5)
    slopes = jax.vmap(jax.grad(lambda x: function(x, bound=2.0)))(x)
    np.testing.assert_allclose(slopes, np.exp(2.0), rtol=1e-5)

  @parameterized.parameters(*BOTH)
  def test_nothing_overflows(self, function, less):
    del less
    for x in (-1e6, -1e3, 0.0, 40.0, 89.0, 1e3, 1e6):
      value, slope = jax.value_and_grad(function)(np.float32(x))
      chex.assert_tree_all_finite((value, slope, slope * slope))
      self.assertGreaterEqual(slope, 0.0)

  def test_expm1_keeps_the_digits_of_little(self):
    x = np.float32([1e-6, -1e-6])
    actual = divergences.tangent_expm1(x)
    np.testing.assert_allclose(actual, np.expm1(x.astype(np.float64)), 1e-6)

  @parameterized.parameters(*BOTH)
  def test_refuses_whole_numbers(self, function, less):
    del less
    with self.assertRaises(AssertionError):
      function(np.arange(3))
