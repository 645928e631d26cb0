"""Rewards per token against a loop in numpy."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import divergences, rewards

LENGTHS = (5, 2, 1, 0)


class TokenRewardsTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    rng = np.random.default_rng(0)
    self.scores = rng.normal(size=4).astype(np.float32)
    draws = -rng.exponential(size=(2, 4, 5))
    self.logps, self.reference_logps = draws.astype(np.float32)
    self.mask = np.arange(5) < np.array(LENGTHS)[:, None]

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(0.0, 0.3)
  def test_matches_a_loop(self, kl_coef):
    shaped = self.variant(
      functools.partial(rewards.token_rewards, kl_coef=kl_coef)
    )(self.scores, self.logps, self.reference_logps, self.mask)
    expected = np.zeros((4, 5))
    for row, length in enumerate(LENGTHS):
      for t in range(length):
        kl = self.logps[row, t] - self.reference_logps[row, t]
        expected[row, t] = -kl_coef * kl
        if t == length - 1:
          expected[row, t] += self.scores[row]
    np.testing.assert_allclose(shaped, expected, atol=1e-6)

  def test_the_estimator_is_the_callers(self):
    options = {'kl_coef': 0.3, 'estimator': divergences.absolute}
    shaped = rewards.token_rewards(
      self.scores, self.logps, self.reference_logps, self.mask, **options
    )
    total = np.sum(shaped, axis=-1)
    gaps = np.abs(self.logps - self.reference_logps)
    expected = self.scores - 0.3 * np.sum(gaps, axis=-1, where=self.mask)
    np.testing.assert_allclose(total[:3], expected[:3], atol=1e-5)

  def test_the_last_token_of_a_mask_with_gaps(self):
    mask = np.array([[True, True, False, True, False]])
    zeros = np.zeros((1, 5), np.float32)
    shaped = rewards.token_rewards(
      np.array([2.0], np.float32), zeros, zeros, mask, kl_coef=1.0
    )
    np.testing.assert_array_equal(shaped, [[0.0, 0.0, 0.0, 2.0, 0.0]])

  def test_padding_is_inert(self):
    def junk(x):
      return np.where(self.mask, x, np.nan).astype(np.float32)

    scores = self.scores.copy()
    scores[3] = np.nan  # Of a response without tokens.
    clean = rewards.token_rewards(
      self.scores, self.logps, self.reference_logps, self.mask, kl_coef=0.1
    )
    dirty = rewards.token_rewards(
      scores,
      junk(self.logps),
      junk(self.reference_logps),
      self.mask,
      kl_coef=0.1,
    )
    chex.assert_trees_all_equal(clean, dirty)

  def test_stops_the_gradient(self):
    def scalar(scores, logps):
      return jnp.sum(
        rewards.token_rewards(
          scores, logps, self.reference_logps, self.mask, kl_coef=0.1
        )
      )

    slopes = jax.grad(scalar, (0, 1))(self.scores, self.logps)
    chex.assert_trees_all_equal(slopes, (np.zeros(4), np.zeros((4, 5))))

  def test_refuses_unequal_shapes(self):
    with self.assertRaises(AssertionError):
      rewards.token_rewards(
        self.scores[:1],
        self.logps,
        self.reference_logps,
        self.mask,
        kl_coef=0.1,
      )
    with self.assertRaises(AssertionError):
      rewards.token_rewards(
        self.scores,
        self.logps,
        self.reference_logps[:, :1],
        self.mask,
        kl_coef=0.1,
      )


class PenaliseUnendedTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    actual = self.variant(
      functools.partial(rewards.penalise_unended, penalty=1.5)
    )(np.array([2.0, 2.0], np.float32), np.array([True, False]))
    np.testing.assert_allclose(actual, [2.0, 0.5])

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      rewards.penalise_unended(
        np.zeros((2, 1), np.float32), np.ones(2, bool), penalty=1.0
      )


class ScaleAndReplaceUnendedTest(chex.TestCase):
  scores = np.array([2.0, 2.0, -1.0], np.float32)
  ended = np.array([True, False, False])

  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_examples(self):
    scale = functools.partial(rewards.scale_unended, factor=0.3)
    replace = functools.partial(rewards.replace_unended, value=-0.5)
    for function, expected in (
      (scale, [2.0, 0.6, -0.3]),
      (replace, [2.0, -0.5, -0.5]),
    ):
      actual = self.variant(function)(self.scores, self.ended)
      np.testing.assert_allclose(actual, expected, rtol=1e-6)

  def test_what_is_replaced_may_be_anything(self):
    scores = np.array([2.0, np.nan], np.float32)
    actual = rewards.replace_unended(scores, self.ended[:2], value=-1.0)
    np.testing.assert_array_equal(actual, [2.0, -1.0])

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      rewards.scale_unended(self.scores[:, None], self.ended, factor=0.5)
    with self.assertRaises(AssertionError):
      rewards.replace_unended(self.scores[:, None], self.ended, value=0.0)


class OverlongPenaltyTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    penalise = functools.partial(
      rewards.overlong_penalty, max_length=20, buffer=8, factor=0.5
    )
    actual = self.variant(penalise)(np.array([[0, 12, 13], [16, 20, 30]]))
    np.testing.assert_allclose(
      actual, [[0.0, 0.0, 0.5 / 8], [0.25, 0.5, 0.5]], rtol=1e-6
    )


class AdaptiveKlCoefTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(
    (6.0, 1.0),  # On target: nothing changes.
    (6.6, 1.0 + 0.1 * 256 / 10_000),
    (60.0, 1.0 + 0.2 * 256 / 10_000),  # Clipped.
    (0.0, 1.0 - 0.2 * 256 / 10_000),
  )
  def test_worked_example(self, kl, factor):
    update = functools.partial(
      rewards.adaptive_kl_coef, target=6.0, horizon=10_000, steps=256
    )
    actual = self.variant(update)(0.05, kl)
    np.testing.assert_allclose(actual, 0.05 * factor, rtol=1e-6)
