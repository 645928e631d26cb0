"""Clipped and softened ratios against worked numbers."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import importance
from rlhf_jax.losses import policy_gradient

# Ratios below, inside and above the clip of 0.2, for gains and for losses.
RATIOS = np.array([0.5, 1.1, 1.5, 0.5, 1.1, 1.5], np.float32)
ADVANTAGES = np.array([2.0, 2.0, 2.0, -2.0, -2.0, -2.0], np.float32)
NEW = np.log(RATIOS) - 1.0
OLD = np.full(6, -1.0, np.float32)
TOKENWISE = (
  functools.partial(policy_gradient.clipped_surrogate, clip_epsilon=0.2),
  functools.partial(
    policy_gradient.dual_clipped_surrogate, clip_epsilon=0.2, dual_clip=1.3
  ),
  policy_gradient.sapo,
)


class ClippedSurrogateTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(
    (None, [1.0, 2.2, 2.4, -1.6, -2.2, -3.0]),
    (0.4, [1.0, 2.2, 2.8, -1.6, -2.2, -3.0]),
  )
  def test_worked_example(self, clip_epsilon_high, objectives):
    loss = functools.partial(
      policy_gradient.clipped_surrogate,
      clip_epsilon=0.2,
      clip_epsilon_high=clip_epsilon_high,
    )
    actual = self.variant(loss)(NEW, OLD, ADVANTAGES)
    np.testing.assert_allclose(actual, -np.array(objectives), rtol=1e-5)

  def test_clipping_takes_the_gradient_only_of_moves_already_made(self):
    loss = TOKENWISE[0]
    slopes = jax.grad(lambda x: jnp.sum(loss(x, OLD, ADVANTAGES)))(NEW)
    moving = np.array([True, True, False, False, True, True])
    np.testing.assert_allclose(
      slopes, np.where(moving, -ADVANTAGES * RATIOS, 0.0), rtol=1e-5
    )

  def test_before_any_update_it_is_the_policy_gradient(self):
    slopes = jax.grad(lambda x: jnp.sum(TOKENWISE[0](x, OLD, ADVANTAGES)))(OLD)
    np.testing.assert_allclose(slopes, -ADVANTAGES)

  @parameterized.parameters(*TOKENWISE)
  def test_gradients(self, loss):
    def of_logps(logps):
      return loss(logps, OLD, ADVANTAGES)

    jax.test_util.check_grads(of_logps, (NEW,), 1, ['rev'], rtol=2e-2)

  @parameterized.parameters(*TOKENWISE)
  def test_no_advantage_is_no_loss_however_far(self, loss):
    far, zero = jnp.float32(300.0), jnp.float32(0.0)
    value, slope = jax.value_and_grad(loss)(far, zero, zero)
    self.assertEqual((float(value), float(slope)), (0.0, 0.0))

  @parameterized.parameters(*TOKENWISE)
  def test_refuses_what_would_broadcast(self, loss):
    with self.assertRaises(AssertionError):
      loss(NEW, OLD[:1], ADVANTAGES)
    with self.assertRaises(AssertionError):
      loss(NEW, OLD, ADVANTAGES[None])


class DualClippedSurrogateTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_bounds_only_bad_tokens_that_became_likely(self):
    actual = self.variant(TOKENWISE[1])(NEW, OLD, ADVANTAGES)
    objectives = [1.0, 2.2, 2.4, -1.6, -2.2, 1.3 * -2.0]
    np.testing.assert_allclose(actual, -np.array(objectives), rtol=1e-5)


class SapoTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_matches_definition(self):
    loss = functools.partial(
      policy_gradient.sapo, temperature_positive=0.5, temperature_negative=2.0
    )
    actual = self.variant(loss)(NEW, OLD, ADVANTAGES)
    tau = np.where(ADVANTAGES > 0, 0.5, 2.0)
    gates = 4 / tau / (1 + np.exp(-tau * (RATIOS - 1.0)))
    np.testing.assert_allclose(actual, -gates * ADVANTAGES, rtol=1e-5)

  def test_before_any_update_it_is_the_policy_gradient(self):
    slopes = jax.grad(
      lambda x: jnp.sum(policy_gradient.sapo(x, OLD, ADVANTAGES))
    )(OLD)
    np.testing.assert_allclose(slopes, -ADVANTAGES, rtol=1e-6)

  def test_the_slope_in_the_ratio_fades_on_both_sides(self):
    def loss(ratio):
      one = jnp.ones_like(ratio)
      return policy_gradient.sapo(jnp.log(ratio), jnp.log(one), one)

    ratios = np.array([0.2, 1.0, 2.0, 4.0], np.float32)
    gates = 1 / (1 + np.exp(1.0 - ratios))
    np.testing.assert_allclose(
      jax.vmap(jax.grad(loss))(ratios), -4 * gates * (1 - gates), rtol=1e-4
    )

  def test_far_away_is_finite(self):
    far, one = jnp.float32(300.0), jnp.float32(1.0)
    value, slope = jax.value_and_grad(policy_gradient.sapo)(far, 0.0 * far, one)
    self.assertEqual((float(value), float(slope)), (-4.0, 0.0))


class IsClippedTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters((None, True), (0.6, False))
  def test_is_where_the_gradient_vanished(self, clip_epsilon_high, high):
    indicator = functools.partial(
      policy_gradient.is_clipped,
      clip_epsilon=0.2,
      clip_epsilon_high=clip_epsilon_high,
    )
    actual = self.variant(indicator)(importance.ratios(NEW, OLD), ADVANTAGES)
    np.testing.assert_array_equal(
      actual, [False, False, high, True, False, False]
    )

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      policy_gradient.is_clipped(RATIOS, ADVANTAGES[:1], clip_epsilon=0.2)
