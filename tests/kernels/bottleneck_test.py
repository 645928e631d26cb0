"""Posteriors of views, against densities and textbook formulas."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from jax.test_util import check_grads

from rlhf_jax.kernels import bottleneck


def posteriors(shape=(5, 3), seed=0):
  """Means and log-variances of two views, float32."""
  draw = np.random.default_rng(seed)
  return [
    (scale * draw.normal(size=shape)).astype(np.float32)
    for scale in (2.0, 1.0, 2.0, 1.0)
  ]


def divergence_by_definition(means_1, logs_1, means_2, logs_2):
  """½ [KL + KL] in float64, each from its own textbook formula."""

  def kl(gap, of, to):
    return 0.5 * (np.exp(of - to) + gap**2 / np.exp(to) - 1.0 - (of - to))

  m1, l1, m2, l2 = (
    np.asarray(x, np.float64) for x in (means_1, logs_1, means_2, logs_2)
  )
  return 0.5 * np.sum(kl(m1 - m2, l1, l2) + kl(m1 - m2, l2, l1), axis=-1)


class LogVarianceTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_values(self):
    raw = np.float32([[0.0, 3.0, -12.0]])
    np.testing.assert_allclose(
      self.variant(bottleneck.softplus_log_variance)(raw),
      2.0 * np.log(np.log1p(np.exp(np.float64(raw))) + 1e-7),
      rtol=1e-5,
    )
    np.testing.assert_allclose(
      self.variant(bottleneck.tanh_log_variance)(raw),
      8.0 * np.tanh(np.float64(raw) / 8.0),
      rtol=1e-5,
    )

  def test_a_deviation_of_none_is_log_two(self):
    log_variance = bottleneck.softplus_log_variance(jnp.zeros(1))
    np.testing.assert_allclose(jnp.exp(0.5 * log_variance), 0.693, atol=1e-3)

  def test_the_clamp_can_be_left_again(self):
    def clamped(raw):
      return jnp.sum(bottleneck.tanh_log_variance(raw, limit=2.0))

    for raw in (-9.0, 9.0):
      value, slope = jax.value_and_grad(clamped)(jnp.float32([raw]))
      self.assertLess(abs(float(value)), 2.0)
      # 1 − tanh²(4.5), which a clipped one does not have.
      np.testing.assert_allclose(slope, 1.0 / np.cosh(4.5) ** 2, rtol=1e-3)

  @parameterized.parameters(-1e4, -30.0, 30.0, 1e4)
  def test_is_finite_far_out(self, raw):
    for function in (
      bottleneck.softplus_log_variance,
      bottleneck.tanh_log_variance,
    ):
      found = jax.value_and_grad(lambda x, f=function: f(x)[0])(
        jnp.float32([raw])
      )
      chex.assert_tree_all_finite(found)


class SampleTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_has_the_posterior_s_moments(self):
    means, log_variances = np.float32([1.0, -2.0]), np.float32([-1.0, 0.8])
    size = (40_000, 2)
    latents = self.variant(bottleneck.sample)(
      jax.random.key(0),
      jnp.broadcast_to(means, size),
      jnp.broadcast_to(log_variances, size),
    )
    variances = np.exp(log_variances)
    errors = np.sqrt(variances / size[0])
    self.assertTrue((np.abs(latents.mean(0) - means) < 4 * errors).all())
    np.testing.assert_allclose(latents.var(0), variances, rtol=0.03)

  def test_reparameterised_gradient(self):
    # ∂E[z²]/∂μ = 2μ and ∂E[z²]/∂l = e^l, as E[z²] = μ² + e^l.
    size = (100_000, 2)

    def mean_square(means, log_variances):
      latents = bottleneck.sample(
        jax.random.key(1),
        jnp.broadcast_to(means, size),
        jnp.broadcast_to(log_variances, size),
      )
      return jnp.sum(jnp.mean(latents**2, axis=0))

    means, log_variances = jnp.float32([1.5, -0.5]), jnp.float32([-1.0, 0.5])
    by_mean, by_log = jax.grad(mean_square, (0, 1))(means, log_variances)
    np.testing.assert_allclose(by_mean, 2 * means, atol=0.04)
    np.testing.assert_allclose(by_log, np.exp(log_variances), atol=0.04)

  def test_is_float32_and_another_under_another_key(self):
    half = jnp.zeros((3, 2), jnp.bfloat16)
    first, second = (
      bottleneck.sample(jax.random.key(i), half, half) for i in (0, 1)
    )
    self.assertEqual(first.dtype, jnp.float32)
    self.assertGreater(float(jnp.min(jnp.abs(first - second))), 0.0)


class SymmetrisedKlTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(
    (0.0, 0.0, 3.0, 3.0, 0.0),
    (0.0, 1.0, 1.0, 1.0, 0.5),
    (0.0, 0.0, 4.0, 1.0, 0.5625),
    (0.0, 1.0, 4.0, 1.0, 0.875),
  )
  def test_worked_values(self, m1, m2, variance_1, variance_2, expected):
    arrays = [
      jnp.full((1, 1), x, jnp.float32)
      for x in (m1, np.log(variance_1), m2, np.log(variance_2))
    ]
    found = self.variant(bottleneck.symmetrised_kl)(*arrays)
    np.testing.assert_allclose(found, [expected], rtol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(((7,),), ((5, 3),), ((2, 4, 3),))
  def test_matches_definition(self, shape):
    arrays = posteriors(shape)
    found = self.variant(bottleneck.symmetrised_kl)(*arrays)
    self.assertEqual(found.shape, shape[:-1])
    expected = divergence_by_definition(*arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

  def test_does_not_care_which_is_first(self):
    first, second = posteriors()[:2], posteriors()[2:]
    np.testing.assert_allclose(
      bottleneck.symmetrised_kl(*first, *second),
      bottleneck.symmetrised_kl(*second, *first),
      rtol=1e-6,
    )
    self.assertTrue((bottleneck.symmetrised_kl(*first, *second) > 0).all())

  def test_equal_posteriors_are_exactly_none_apart(self):
    first = posteriors()[:2]
    np.testing.assert_array_equal(
      bottleneck.symmetrised_kl(*first, *first), 0.0
    )

  def test_no_digits_are_lost_where_variances_are_near(self):
    # δ²/4 at δ = 2e-4; the usual form is of the order of its own rounding.
    gap = np.float32(2e-4)
    zeros = jnp.zeros((1, 1))
    found = bottleneck.symmetrised_kl(zeros, zeros + gap, zeros, zeros)
    np.testing.assert_allclose(found, float(gap) ** 2 / 4, rtol=1e-5)

  def test_gradients_are_those_worked_out(self):
    m1, l1, m2, l2 = arrays = posteriors()
    found = jax.grad(
      lambda *x: jnp.sum(bottleneck.symmetrised_kl(*x)), (0, 1, 2, 3)
    )(*arrays)
    gap, spread = m1 - m2, np.sinh(l1 - l2)
    by_mean = 0.5 * gap * (np.exp(-l1) + np.exp(-l2))
    expected = (
      by_mean,
      0.5 * spread - 0.25 * gap**2 * np.exp(-l1),
      -by_mean,
      -0.5 * spread - 0.25 * gap**2 * np.exp(-l2),
    )
    chex.assert_trees_all_close(found, expected, rtol=2e-5, atol=1e-5)

  def test_is_finite_far_out(self):
    def total(*arrays):
      return jnp.sum(bottleneck.symmetrised_kl(*arrays))

    for log_1 in (-8.0, 8.0):
      for log_2 in (-8.0, 8.0):
        arrays = [jnp.float32([[x]]) for x in (-1e3, log_1, 0.0, log_2)]
        found = jax.value_and_grad(total, (0, 1, 2, 3))(*arrays)
        chex.assert_tree_all_finite(found)

  def test_computes_in_float32(self):
    arrays = [x.astype(jnp.bfloat16) for x in posteriors()]
    found = bottleneck.symmetrised_kl(*arrays)
    self.assertEqual(found.dtype, jnp.float32)
    np.testing.assert_allclose(
      found, divergence_by_definition(*arrays), rtol=1e-5
    )

  def test_refuses_what_would_broadcast(self):
    m1, l1, m2, l2 = posteriors()
    for wrong in ((m1, l1[:1], m2, l2), (m1, l1, m2, l2[:, :1])):
      with self.assertRaises(AssertionError):
        bottleneck.symmetrised_kl(*wrong)
      with self.assertRaises(AssertionError):
        bottleneck.sampled_symmetrised_kl(m1, m2, *wrong)
    with self.assertRaises(AssertionError):
      bottleneck.sample(jax.random.key(0), m1, l1[:1])
    with self.assertRaises(AssertionError):
      bottleneck.symmetrised_kl(m1.astype(int), l1, m2, l2)


class SampledSymmetrisedKlTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_matches_densities(self):
    m1, l1, m2, l2 = arrays = posteriors()
    z1, z2 = posteriors(seed=1)[:2]

    def density(z, mean, log_variance):
      squares = (z - mean) ** 2 / np.exp(log_variance)
      return np.sum(-0.5 * (squares + log_variance), axis=-1)

    expected = 0.5 * (
      density(z1, m1, l1)
      - density(z1, m2, l2)
      + density(z2, m2, l2)
      - density(z2, m1, l1)
    )
    found = self.variant(bottleneck.sampled_symmetrised_kl)(z1, z2, *arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

  def test_averages_to_the_closed_form(self):
    # Two million draws, whose mean has an error of about 0.0011.
    size = (2_000_000, 1)
    arrays = [
      jnp.full(size, x, jnp.float32) for x in (0.0, np.log(4.0), 1.0, 0.0)
    ]
    keys = jax.random.split(jax.random.key(0))
    z1 = bottleneck.sample(keys[0], *arrays[:2])
    z2 = bottleneck.sample(keys[1], *arrays[2:])
    found = np.asarray(bottleneck.sampled_symmetrised_kl(z1, z2, *arrays))
    error = found.std() / np.sqrt(size[0])
    self.assertLess(error, 2e-3)
    self.assertLess(abs(found.mean(dtype=np.float64) - 0.875), 4 * error)

  def test_gradients(self):
    z1, z2 = posteriors(seed=1)[:2]
    arrays = [0.3 * x for x in (z1, z2, *posteriors())]
    check_grads(
      bottleneck.sampled_symmetrised_kl, arrays, 1, ['rev'], rtol=2e-2
    )


if __name__ == '__main__':
  absltest.main()
