"""Bounds on Gaussians, whose best critic and information are known."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.kernels import bottleneck


def best_critic(x, y, correlation):
  """log p/q of N pairs x, y [..., d] of that correlation in every dimension."""
  rest = 1.0 - correlation**2
  squares = correlation**2 * (x**2 + y**2) - 2.0 * correlation * x * y
  return np.sum(-0.5 * np.log(rest) - squares / (2.0 * rest), axis=-1)


def correlated(draw, shape, correlation):
  x, e = draw.normal(size=(2, *shape))
  return x, correlation * x + np.sqrt(1.0 - correlation**2) * e


def information(dimensions, correlation):
  return -0.5 * dimensions * np.log(1.0 - correlation**2)


def expected_value(bound, correlation):
  """Its value on Gaussians of one dimension, by Gauss–Hermite quadrature.

  For a bound that is a mean over positives less one over negatives: both are
  taken at one node at a time.
  """
  nodes, weights = np.polynomial.hermite_e.hermegauss(180)
  x, e = (grid.reshape(-1, 1) for grid in np.meshgrid(nodes, nodes))
  weights = np.outer(weights, weights).ravel() / (2.0 * np.pi)
  y = correlation * x + np.sqrt(1.0 - correlation**2) * e
  pairs = [best_critic(x, y, correlation), best_critic(x, e, correlation)]
  scores = jnp.float32(np.stack(pairs, axis=1)[:, None])
  one, other = jnp.array([[True, False]]), jnp.array([[False, True]])
  values = jax.vmap(lambda t: bound(t, one, other))(scores)
  return np.sum(weights * np.asarray(values, np.float64))


class GaussianTest(parameterized.TestCase):
  @parameterized.parameters(
    (0.0, -1.386294),
    (0.2, -1.376039),
    (0.5, -1.312453),
    (0.8, -1.119006),
    (0.9, -0.957188),
    (0.95, -0.802166),
  )
  def test_jensen_shannon_of_one_dimension(self, correlation, expected):
    found = expected_value(bottleneck.jensen_shannon, correlation)
    np.testing.assert_allclose(found, expected, atol=2e-6)

  @parameterized.parameters(0.2, 0.5, 0.8)
  def test_the_best_critic_s_nwj_is_the_information(self, correlation):
    def shifted(scores, *masks):
      return bottleneck.nwj(1.0 + scores, *masks)

    exact = information(1, correlation)
    for bound in (shifted, bottleneck.nwj_read_out):
      found = expected_value(bound, correlation)
      np.testing.assert_allclose(found, exact, atol=1e-4)

  @parameterized.parameters((0.2, -1.198), (0.5, -0.500), (0.8, -0.025))
  def test_jensen_shannon_of_twenty_dimensions(self, correlation, expected):
    draw, size = np.random.default_rng(0), (100_000, 20)
    scores = [
      best_critic(*correlated(draw, size, rho), correlation)
      for rho in (correlation, 0.0)
    ]
    columns = [np.full(size[0], flag) for flag in (True, False)]
    masks = np.stack(columns, axis=1), np.stack(columns[::-1], axis=1)
    found = bottleneck.jensen_shannon(jnp.float32(np.stack(scores, 1)), *masks)
    terms = np.logaddexp(0, -scores[0]) + np.logaddexp(0, scores[1])
    error = terms.std() / np.sqrt(size[0])
    # The expected values are themselves known to 0.003 alone.
    self.assertLess(abs(found - expected), 4 * error + 0.003)

  @parameterized.parameters(
    (1, 0.9, (0.34, 0.68, 0.81)),
    (20, 0.5, (0.60, 1.54, 2.45)),
    (20, 0.8, (0.693, 2.07, 4.13)),
    (20, 0.9, (0.693, 2.079, 4.159)),
  )
  def test_info_nce_of_the_best_critic(self, dimensions, correlation, table):
    draw = np.random.default_rng(1)
    for size, batches, expected in zip(
      (2, 8, 64), (4000, 1000, 100), table, strict=True
    ):
      shape = (batches, size, dimensions)
      x, y = correlated(draw, shape, correlation)
      scores = best_critic(x[:, :, None], y[:, None], correlation)
      one = np.eye(size, dtype=bool)
      found = jax.vmap(lambda t, one=one: bottleneck.info_nce(t, one, ~one))(
        jnp.float32(scores)
      )
      error = np.std(found) / np.sqrt(batches)
      self.assertLess(error, 0.03)
      # The table has two or three digits, and errors of its own up to 0.02.
      self.assertLess(abs(np.mean(found) - expected), 4 * error + 0.02)
      self.assertLess(np.max(found), np.log(size) + 1e-5)


class LinearGaussianTest(parameterized.TestCase):
  """v = x + s e for a shared x, μ = a v, σ² = t; only q = a² / t matters."""

  @parameterized.parameters(
    (0.1, 1.0, 34.989, -0.95934),
    (0.1, 0.1, 176.60, -1.56671),
    (0.3, 1.0, 2.4264, -0.07438),
    (0.3, 0.1, 17.512, -0.55588),
    (0.5, 0.1, 5.0032, -0.19777),
    (0.5, 1.0, 0.0, 0.0),
  )
  def test_descent_finds_the_optimum_or_collapses(self, s, beta, best, loss):
    log_variance = jnp.float32([-1.3])

    def objective(log_ratio):  # Of log q, by the encoder's gain a.
      gain = jnp.exp(0.5 * (log_ratio + log_variance))
      q = jnp.exp(log_ratio)
      rho = q / (1.0 + q * (1.0 + s**2))
      # The root mean square of v₁ − v₂ is √2 s.
      divergence = bottleneck.symmetrised_kl(
        gain * np.sqrt(2.0) * s, log_variance, 0.0 * gain, log_variance
      )
      return 0.5 * jnp.log1p(-(rho**2)) + beta * divergence

    @jax.jit
    def descend(log_ratio):
      return jax.lax.fori_loop(
        0, 4000, lambda _, x: x - jax.grad(objective)(x), log_ratio
      )

    found = descend(jnp.log(10.0))
    np.testing.assert_allclose(jnp.exp(found), best, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(objective(found), loss, atol=1e-3)


if __name__ == '__main__':
  absltest.main()
