"""Weighted log-probs against exact gradients and worked weights."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax.losses import policy_gradient

# Ratios below, inside and above the clip of 0.2, for gains and for losses.
RATIOS = np.array([0.5, 1.1, 1.5, 0.5, 1.1, 1.5], np.float32)
ADVANTAGES = np.array([2.0, 2.0, 2.0, -2.0, -2.0, -2.0], np.float32)
NEW = np.log(RATIOS) - 1.0
OLD = np.full(6, -1.0, np.float32)


class PolicyGradientTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_its_mean_gradient_is_that_of_the_expected_reward(self):
    logits = np.random.default_rng(0).normal(size=5).astype(np.float32)
    scores = np.arange(5, dtype=np.float32)

    def expected_reward(x):
      return jnp.sum(jax.nn.softmax(x) * scores)

    def mean_loss(x):
      # Every response, weighted as often as it is drawn; a baseline of 2.
      logps = jax.nn.log_softmax(x)
      weights = jax.lax.stop_gradient(jnp.exp(logps))
      return jnp.sum(
        weights * policy_gradient.policy_gradient(logps, scores - 2.0)
      )

    actual = self.variant(jax.grad(mean_loss))(logits)
    expected = -jax.grad(expected_reward)(logits)
    np.testing.assert_allclose(actual, expected, atol=1e-6)

  def test_gradients(self):
    jax.test_util.check_grads(
      policy_gradient.policy_gradient, (NEW, ADVANTAGES), 1, ['rev'], rtol=2e-2
    )

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      policy_gradient.policy_gradient(NEW, ADVANTAGES[:1])


class CispoTest(chex.TestCase):
  loss = staticmethod(functools.partial(policy_gradient.cispo, max_weight=1.2))
  weights = np.array([0.5, 1.1, 1.2, 0.5, 1.1, 1.2], np.float32)

  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    actual = self.variant(self.loss)(NEW, OLD, ADVANTAGES)
    np.testing.assert_allclose(
      actual, -self.weights * ADVANTAGES * NEW, rtol=1e-5
    )

  def test_no_token_loses_its_gradient(self):
    slopes = jax.grad(lambda x: jnp.sum(self.loss(x, OLD, ADVANTAGES)))(NEW)
    np.testing.assert_allclose(slopes, -self.weights * ADVANTAGES, rtol=1e-5)

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      self.loss(NEW, OLD[:1], ADVANTAGES)
    with self.assertRaises(AssertionError):
      self.loss(NEW, OLD, ADVANTAGES[None])


class VespoTest(chex.TestCase):
  loss = staticmethod(
    functools.partial(
      policy_gradient.vespo,
      power_positive=2.0,
      decay_positive=3.0,
      power_negative=1.0,
      decay_negative=0.5,
    )
  )
  # Ratios of responses 2 · 0.75 and, with one token, 0.5.
  new = np.log([[2.0, 0.75, 9.0], [0.5, 9.0, 9.0]]).astype(np.float32) - 1.0
  old = np.full((2, 3), -1.0, np.float32)
  mask = np.array([[True, True, False], [True, False, False]])
  advantages = np.array([[2.0] * 3, [-1.0] * 3], np.float32)
  weights = np.array(
    [[1.5**2 * np.exp(3.0 * -0.5)], [0.5 * np.exp(0.5 * 0.5)]], np.float32
  )

  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    actual = self.variant(self.loss)(
      self.new, self.old, self.advantages, self.mask
    )
    expected = -self.weights * self.advantages * self.new
    np.testing.assert_allclose(actual, expected, rtol=1e-5)

  def test_the_weights_are_constants(self):
    slopes = jax.grad(
      lambda x: jnp.sum(self.loss(x, self.old, self.advantages, self.mask))
    )(self.new)
    np.testing.assert_allclose(
      slopes, -self.weights * self.advantages, rtol=1e-5
    )

  def test_before_any_update_it_is_the_policy_gradient(self):
    np.testing.assert_allclose(
      self.loss(self.old, self.old, self.advantages, self.mask),
      policy_gradient.policy_gradient(self.old, self.advantages),
      rtol=1e-6,
    )

  @parameterized.parameters(300.0, -300.0)
  def test_responses_far_away_count_nothing(self, move):
    losses = self.loss(
      self.old + np.float32(move), self.old, self.advantages, self.mask
    )
    np.testing.assert_array_equal(losses, 0.0)

  def test_padding_is_inert(self):
    junk = np.where(self.mask, self.new, np.nan).astype(np.float32)
    clean, dirty = (
      self.loss(x, self.old, self.advantages, self.mask)
      for x in (self.new, junk)
    )
    np.testing.assert_array_equal(
      np.asarray(clean)[self.mask], np.asarray(dirty)[self.mask]
    )

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      self.loss(self.new, self.old, self.advantages[:, :1], self.mask)
    with self.assertRaises(AssertionError):
      self.loss(self.new[0], self.old[0], self.advantages[0], self.mask[0])
