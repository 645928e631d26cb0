"""Log-probs and entropies from logits."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized
from jax.test_util import check_grads

from rlhf_jax.kernels import distributions


def log_softmax(logits, temperature=1.0):
  """By definition, in float64."""
  z = np.asarray(logits, np.float64) / temperature
  z -= z.max(-1, keepdims=True)
  return z - np.log(np.exp(z).sum(-1, keepdims=True))


def entropy(logits, temperature=1.0):
  """−Σ p log p, in float64."""
  log_p = log_softmax(logits, temperature)
  return -np.sum(np.exp(log_p) * log_p, -1)


def one_hot(targets, size):
  return np.asarray(targets)[..., None] == np.arange(size)


class FromLogitsTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    draw = np.random.default_rng(0)
    self.logits = draw.normal(size=(3, 5, 11)).astype(np.float32) * 3
    self.targets = draw.integers(0, 11, (3, 5))
    self.weights = draw.normal(size=(3, 5)).astype(np.float32)
    # exp(350) is not a float32; a difference of 1 at 350 is.
    self.extreme = draw.choice([-50.0, 50.0, 49.0, 0.0], (64, 8))
    self.extreme[32:] += 300.0
    self.extreme = self.extreme.astype(np.float32)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(1.0, 0.7, 2.0)
  def test_token_logps_match_the_definition(self, temperature):
    actual = self.variant(distributions.token_logps)(
      self.logits, self.targets, temperature=temperature
    )
    hot = one_hot(self.targets, 11)
    expected = log_softmax(self.logits, temperature)[hot].reshape(3, 5)
    np.testing.assert_allclose(actual, expected, atol=1e-5)

  @parameterized.parameters(1.0, 0.7, 2.0)
  def test_token_logps_gradient_is_hot_less_softmax(self, temperature):
    def total(logits):
      return jnp.sum(
        self.weights
        * distributions.token_logps(
          logits, self.targets, temperature=temperature
        )
      )

    p = np.exp(log_softmax(self.logits, temperature))
    slope = (one_hot(self.targets, 11) - p) / temperature
    expected = self.weights[..., None] * slope
    np.testing.assert_allclose(
      jax.grad(total)(self.logits), expected, atol=1e-5
    )

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(1.0, 0.7, 2.0)
  def test_entropies_match_the_definition(self, temperature):
    actual = self.variant(distributions.entropies)(
      self.logits, temperature=temperature
    )
    np.testing.assert_allclose(
      actual, entropy(self.logits, temperature), atol=1e-6
    )

  @parameterized.parameters(1.0, 0.7, 2.0)
  def test_entropies_gradient_in_closed_form(self, temperature):
    def total(logits):
      return jnp.sum(
        self.weights * distributions.entropies(logits, temperature=temperature)
      )

    log_p = log_softmax(self.logits, temperature)
    surprise = log_p + entropy(self.logits, temperature)[..., None]
    slope = -np.exp(log_p) * surprise / temperature
    np.testing.assert_allclose(
      jax.grad(total)(self.logits), self.weights[..., None] * slope, atol=1e-5
    )

  def test_extreme_logits(self):
    targets = np.arange(64) % 8
    expected = log_softmax(self.extreme)
    actual = distributions.token_logps(self.extreme, targets)
    np.testing.assert_allclose(
      actual, expected[np.arange(64), targets], rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
      distributions.entropies(self.extreme), entropy(self.extreme), atol=1e-6
    )
    slopes = jax.grad(lambda x: jnp.sum(distributions.entropies(x)))(
      self.extreme
    )
    surprise = expected + entropy(self.extreme)[:, None]
    np.testing.assert_allclose(slopes, -np.exp(expected) * surprise, atol=1e-6)

  def test_entropies_at_their_ends(self):
    # All alike: log 4. One possible token: 0. Two of four: log 2.
    ruled_out = -np.inf
    logits = jnp.array(
      [
        [7.0, 7.0, 7.0, 7.0],
        [3.0, ruled_out, ruled_out, ruled_out],
        [ruled_out, 1.0, 1.0, ruled_out],
      ]
    )
    expected = np.log([4.0, 1.0, 2.0])
    np.testing.assert_allclose(
      distributions.entropies(logits), expected, atol=1e-6
    )
    slopes = jax.grad(lambda x: jnp.sum(distributions.entropies(x)))(logits)
    np.testing.assert_allclose(slopes, np.zeros((3, 4)), atol=1e-6)

  def test_gradients_are_consistent(self):
    def both(logits, temperature):
      kwargs = {'temperature': temperature}
      return (
        distributions.token_logps(logits, self.targets, **kwargs),
        distributions.entropies(logits, **kwargs),
      )

    check_grads(both, (self.logits / 3, 1.3), 1, atol=1e-2, rtol=1e-2)

  @parameterized.parameters(-1, -100, 11)
  def test_unknown_targets_are_nan_and_push_nothing(self, unknown):
    targets = self.targets.copy()
    targets[1, 2] = unknown
    value, pull_back = jax.vjp(
      lambda x: distributions.token_logps(x, targets), self.logits
    )
    np.testing.assert_array_equal(
      np.isnan(value), np.arange(15).reshape(3, 5) == 7
    )
    (slope,) = pull_back(jnp.ones_like(value))
    self.assertTrue(np.all(slope[1, 2] == 0.0))
    self.assertTrue(np.all(np.isfinite(slope)))

  def test_bfloat16_logits_are_read_as_float32(self):
    logits = jnp.asarray(self.logits, jnp.bfloat16)
    actual = distributions.token_logps(logits, self.targets)
    self.assertEqual(actual.dtype, jnp.float32)
    hot = one_hot(self.targets, 11)
    expected = log_softmax(logits)[hot].reshape(3, 5)
    np.testing.assert_allclose(actual, expected, atol=1e-5)

  def test_shapes_that_would_broadcast_are_refused(self):
    with self.assertRaises(AssertionError):
      distributions.token_logps(self.logits, self.targets[:1])
    with self.assertRaises(AssertionError):
      distributions.token_logps(self.logits, self.targets[..., None])
    with self.assertRaises(AssertionError):
      distributions.token_logps(self.logits, self.targets.astype(np.float32))
    with self.assertRaises(AssertionError):
      distributions.token_logps(
        self.logits, self.targets, temperature=jnp.ones(11)
      )
    with self.assertRaises(AssertionError):
      distributions.entropies(self.logits, temperature=jnp.ones(11))
