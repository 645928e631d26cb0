"""Advantages against the paper's double sum, without a recursion."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import advantages


def gae_by_definition(rewards, values, length, discount, gae_lambda):
  """The paper's double sum in numpy: no recursion, so no shared mistake."""
  v = np.append(values[:length], 0.0)
  delta = rewards[:length] + discount * v[1:] - v[:-1]
  return [
    sum((discount * gae_lambda) ** (k - t) * delta[k] for k in range(t, length))
    for t in range(length)
  ]


class GaeTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    self.lengths = (7, 4, 1, 0)
    draws = np.random.default_rng(0).normal(size=(2, 4, 7))
    self.rewards, self.values = draws.astype(np.float32)
    self.mask = np.arange(7) < np.array(self.lengths)[:, None]

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.product(discount=(1.0, 0.9), gae_lambda=(0.0, 0.95, 1.0))
  def test_matches_definition(self, discount, gae_lambda):
    options = {'discount': discount, 'gae_lambda': gae_lambda}
    batched = jax.vmap(functools.partial(advantages.gae, **options))
    actual, returns = self.variant(batched)(
      self.rewards, self.values, self.mask
    )
    for row, length in enumerate(self.lengths):
      expected = gae_by_definition(
        self.rewards[row], self.values[row], length, **options
      )
      np.testing.assert_allclose(actual[row, :length], expected, atol=1e-5)
      np.testing.assert_allclose(
        returns[row, :length], expected + self.values[row, :length], atol=1e-5
      )
      np.testing.assert_array_equal(actual[row, length:], 0.0)
      np.testing.assert_array_equal(returns[row, length:], 0.0)

  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    actual, returns = self.variant(advantages.gae)(
      np.array([0.0, 0.0, 1.0], np.float32),
      np.array([0.5, 0.4, 0.3], np.float32),
      np.ones(3, bool),
    )
    # 0.7; 0.3 − 0.4 + 0.95 · 0.7; 0.4 − 0.5 + 0.95 · 0.565.
    np.testing.assert_allclose(actual, [0.43675, 0.565, 0.7], rtol=1e-6)
    np.testing.assert_allclose(returns, [0.93675, 0.965, 1.0], rtol=1e-6)

  def test_lambda_one_gives_returns(self):
    for discount in (1.0, 0.9):
      gains, returns = jax.vmap(
        functools.partial(advantages.gae, discount=discount, gae_lambda=1.0)
      )(self.rewards, self.values, self.mask)
      expected = jax.vmap(
        functools.partial(advantages.discounted_returns, discount=discount)
      )(self.rewards, self.mask)
      np.testing.assert_allclose(returns, expected, atol=1e-5)
      np.testing.assert_allclose(
        gains, expected - np.where(self.mask, self.values, 0.0), atol=1e-5
      )

  def test_a_value_beyond_the_end_goes_in_the_last_reward(self):
    # As if one more token had come, worth 2 and earning just that.
    estimate = functools.partial(advantages.gae, discount=0.9, gae_lambda=0.8)
    rewards, values = self.rewards[0], self.values[0]
    longer, _ = estimate(
      np.append(rewards, np.float32(2.0)),
      np.append(values, np.float32(2.0)),
      np.ones(8, bool),
    )
    credited = np.append(rewards[:-1], rewards[-1] + np.float32(0.9 * 2.0))
    actual, _ = estimate(credited, values, self.mask[0])
    np.testing.assert_allclose(actual, longer[:7], atol=1e-5)

  def test_padding_is_inert(self):
    def junk(x):
      return np.where(self.mask, x, np.nan).astype(np.float32)

    clean = jax.vmap(advantages.gae)(self.rewards, self.values, self.mask)
    dirty = jax.vmap(advantages.gae)(
      junk(self.rewards), junk(self.values), self.mask
    )
    chex.assert_trees_all_equal(clean, dirty)

  def test_stops_the_gradient(self):
    def scalar(rewards, values):
      return jnp.sum(jnp.stack(advantages.gae(rewards, values, self.mask[0])))

    slopes = jax.grad(scalar, (0, 1))(self.rewards[0], self.values[0])
    chex.assert_trees_all_equal(slopes, (np.zeros(7), np.zeros(7)))

  def test_is_float32_whatever_comes_in(self):
    low = jnp.full(1000, 1.0, jnp.bfloat16)
    mask = np.ones(1000, bool)
    _, returns = advantages.gae(low, low, mask, gae_lambda=1.0)
    for sums in (returns, advantages.discounted_returns(low, mask)):
      chex.assert_type(sums, jnp.float32)
      self.assertEqual(float(sums[0]), 1000.0)

  def test_other_values_compile_nothing(self):
    compiled = jax.jit(chex.assert_max_traces(advantages.gae.__wrapped__, n=1))
    for discount in (1.0, 0.5):
      compiled(self.rewards[0], self.values[0], self.mask[0], discount=discount)

  def test_refuses_batches_and_unequal_shapes(self):
    with self.assertRaises(AssertionError):
      advantages.gae(self.rewards, self.values, self.mask)
    with self.assertRaises(AssertionError):
      advantages.gae(self.rewards[0], self.values[0, :1], self.mask[0])
    with self.assertRaises(AssertionError):
      advantages.gae(
        self.rewards[0], self.values[0], self.mask[0].astype(np.float32)
      )


class DiscountedReturnsTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(1.0, 0.9, 0.0)
  def test_matches_definition(self, discount):
    rewards = np.random.default_rng(1).normal(size=6).astype(np.float32)
    mask = np.arange(6) < 4
    rewards[~mask] = np.nan
    actual = self.variant(
      functools.partial(advantages.discounted_returns, discount=discount)
    )(rewards, mask)
    expected = [
      sum(discount ** (k - t) * rewards[k] for k in range(t, 4))
      for t in range(4)
    ]
    np.testing.assert_allclose(actual, [*expected, 0.0, 0.0], atol=1e-5)

  def test_stops_the_gradient(self):
    slope = jax.grad(
      lambda r: jnp.sum(advantages.discounted_returns(r, np.ones(3, bool)))
    )(np.ones(3, np.float32))
    np.testing.assert_array_equal(slope, 0.0)

  def test_refuses_a_batch(self):
    with self.assertRaises(AssertionError):
      advantages.discounted_returns(
        np.ones((2, 3), np.float32), np.ones((2, 3), bool)
      )


class OneStepReturnsTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_the_last_token_is_discounted_too(self):
    follow = functools.partial(advantages.one_step_returns, discount=0.99)
    actual = self.variant(follow)(
      np.float32(2.0), np.zeros(4, np.float32), np.arange(4) < 3
    )
    np.testing.assert_allclose(actual, [1.940598, 1.9602, 1.98, 0.0], rtol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(1.0, 0.9, 0.0)
  def test_matches_definition(self, discount):
    penalties = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    scores = np.array([1.5, -2.0, 0.5, 3.0], np.float32)
    lengths = (5, 3, 1, 0)
    mask = np.arange(5) < np.array(lengths)[:, None]
    junk = np.where(mask, penalties, np.nan).astype(np.float32)
    follow = functools.partial(advantages.one_step_returns, discount=discount)
    actual = self.variant(jax.vmap(follow))(scores, junk, mask)
    for row, length in enumerate(lengths):
      expected = [
        discount ** (length - t) * scores[row] - penalties[row, t]
        for t in range(length)
      ]
      np.testing.assert_allclose(
        actual[row], np.append(expected, np.zeros(5 - length)), atol=1e-6
      )

  def test_stops_the_gradient(self):
    def scalar(score, penalties):
      return jnp.sum(
        advantages.one_step_returns(score, penalties, np.ones(3, bool))
      )

    slopes = jax.grad(scalar, (0, 1))(np.float32(1.0), np.ones(3, np.float32))
    chex.assert_trees_all_equal(slopes, (np.float32(0.0), np.zeros(3)))

  def test_refuses_a_batch(self):
    with self.assertRaises(AssertionError):
      advantages.one_step_returns(
        np.ones(2, np.float32), np.ones((2, 3), np.float32), np.ones((2, 3))
      )
