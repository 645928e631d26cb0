"""Policy-gradient objectives against worked ratios and exact gradients."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import importance, masking
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
)


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


class ClippedSequenceSurrogateTest(chex.TestCase):
  loss = staticmethod(
    functools.partial(
      policy_gradient.clipped_sequence_surrogate, clip_epsilon=0.2
    )
  )
  # Geometric means 1, √(1.5 · 2) and nothing; the masked ratio of 9 is ignored.
  new = np.log([[0.5, 2.0, 9.0], [1.5, 2.0, 9.0], [9.0] * 3]).astype(np.float32)
  old = np.zeros((3, 3), np.float32)
  mask = np.array([[True, True, False], [True, True, False], [False] * 3])
  advantages = np.array([[2.0] * 3, [-1.0] * 3, [5.0] * 3], np.float32)

  @chex.variants(with_jit=True, without_jit=True)
  def test_is_the_published_objective_under_the_sequence_mean(self):
    losses = self.variant(self.loss)(
      self.new, self.old, self.advantages, self.mask
    )
    actual = masking.sequence_mean(losses, self.mask).value
    # −min(1 · 2, 1 · 2) and −min(√3 · −1, 1.2 · −1).
    np.testing.assert_allclose(actual, (-2.0 + 3.0**0.5) / 2, rtol=1e-5)

  def test_padding_is_inert(self):
    def mean(logps):
      losses = self.loss(logps, self.old, self.advantages, self.mask)
      return masking.sequence_mean(losses, self.mask).value

    clean = jax.value_and_grad(mean)(self.new)
    junk = np.where(self.mask, self.new, np.nan).astype(np.float32)
    chex.assert_trees_all_equal(clean, jax.value_and_grad(mean)(junk))

  def test_gradients(self):
    def of_logps(logps):
      return self.loss(logps, self.old, self.advantages, self.mask)

    jax.test_util.check_grads(of_logps, (self.new,), 1, ['rev'], rtol=2e-2)

  def test_refuses_one_dimension(self):
    with self.assertRaises(AssertionError):
      self.loss(NEW, OLD, ADVANTAGES, np.ones(6, bool))


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
