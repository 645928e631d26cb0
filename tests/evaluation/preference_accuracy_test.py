"""Reward-model metrics, against closed forms and sums worked by hand."""

import numpy as np
from absl.testing import absltest, parameterized
from scipy import optimize, special

from rlhf_jax.evaluation import preference_accuracy
from rlhf_jax.types import Message, Prompt

BETTER = np.array([2.0, 1.0, 0.5, 3.0, -1.0])
WORSE = np.array([1.0, 2.0, 0.5, 0.0, -3.0])


class MeasureTest(parameterized.TestCase):
  def test_by_hand(self):
    # Margins 1, −1, 0, 3, 2: three right, one wrong, one tie.
    margins = np.array([1.0, -1.0, 0.0, 3.0, 2.0])
    actual = preference_accuracy.measure(BETTER, WORSE)
    chances = 1 / (1 + np.exp(-margins))
    self.assertAlmostEqual(actual.accuracy.value, 3.5 / 5)
    self.assertAlmostEqual(actual.log_loss, -np.mean(np.log(chances)))
    self.assertAlmostEqual(actual.brier, np.mean((1 - chances) ** 2))
    self.assertAlmostEqual(actual.margin_mean, 1.0)
    self.assertAlmostEqual(actual.margin_sd, np.std(margins, ddof=1))
    np.testing.assert_allclose(
      actual.margin_quantiles, [-0.8, 0.0, 1.0, 2.0, 2.8]
    )
    self.assertEqual(actual.count, 5)
    self.assertIsNone(actual.lengths)

  def test_positive_affine_maps_keep_the_accuracy(self):
    better, worse = np.random.default_rng(0).normal(size=(2, 200))
    plain = preference_accuracy.measure(better, worse)
    mapped = preference_accuracy.measure(3 * better - 7, 3 * worse - 7)
    self.assertEqual(plain.accuracy, mapped.accuracy)
    self.assertNotAlmostEqual(plain.log_loss, mapped.log_loss)

  def test_swapping_the_pairs_gives_one_minus(self):
    forth = preference_accuracy.measure(BETTER, WORSE).accuracy
    back = preference_accuracy.measure(WORSE, BETTER).accuracy
    self.assertAlmostEqual(forth.value, 1 - back.value)
    self.assertAlmostEqual(forth.low, 1 - back.high)

  def test_pairs_of_a_prompt_are_one_cluster(self):
    prompts = [Prompt((Message('user', str(i // 4)),)) for i in range(40)]
    better = np.repeat(np.arange(10) % 2, 4).astype(float)
    apart = preference_accuracy.measure(better, np.full(40, 0.5))
    together = preference_accuracy.measure(
      better, np.full(40, 0.5), prompts=prompts
    )
    expected = np.std(np.arange(10) % 2, ddof=1) / np.sqrt(10)
    self.assertAlmostEqual(together.accuracy.standard_error, expected)
    self.assertLess(apart.accuracy.standard_error, expected)

  def test_lengths_by_hand(self):
    actual = preference_accuracy.measure(
      BETTER,
      WORSE,
      better_lengths=np.array([9, 9, 9, 1, 5]),
      worse_lengths=np.array([1, 1, 1, 9, 5]),
    ).lengths
    # Longer: right, wrong, tie. Shorter: right. The last are equally long.
    self.assertAlmostEqual(actual.better_longer.value, 0.5)
    self.assertAlmostEqual(actual.better_shorter.value, 1.0)
    self.assertAlmostEqual(actual.always_longer.value, 3.5 / 5)

  def test_beyond_the_longer_is_paired(self):
    better, worse = np.array([[1, 0, 1, 1, 0, 1], [0, 1, 0, 0, 1, 1]], float)
    prompts = [Prompt((Message('user', text),)) for text in 'aabcde']
    actual = preference_accuracy.measure(
      better,
      worse,
      prompts=prompts,
      better_lengths=np.array([2, 2, 1, 1, 2, 3]),
      worse_lengths=np.array([1, 1, 2, 1, 1, 1]),
    ).lengths.over_longer
    # Right less longer, pair by pair; the first two are one prompt's.
    gaps = np.array([0, -1, 1, 0.5, -1, -0.5])
    sums = np.array([0 - 1, 1, 0.5, -1, -0.5]) - np.array([2, 1, 1, 1, 1]) * (
      gaps.mean()
    )
    self.assertAlmostEqual(actual.value, gaps.mean())
    error = np.sqrt(5 / 4 * np.sum(sums**2)) / 6
    self.assertAlmostEqual(actual.standard_error, error)
    self.assertLess(actual.low, actual.value)

  def test_no_pairs_of_a_length(self):
    actual = preference_accuracy.measure(
      BETTER, WORSE, better_lengths=np.arange(5), worse_lengths=np.arange(5)
    ).lengths
    self.assertIsNone(actual.better_longer)
    self.assertIsNone(actual.better_shorter)
    self.assertEqual(actual.always_longer.value, 0.5)

  @parameterized.parameters(
    (np.ones(2), np.ones(3), 'equally many'),
    (np.ones(0), np.ones(0), 'at least one'),
    (np.array([1.0, np.nan]), np.ones(2), 'NaN'),
  )
  def test_refuses(self, better, worse, message):
    with self.assertRaisesRegex(ValueError, message):
      preference_accuracy.measure(better, worse)


class CalibrationTest(parameterized.TestCase):
  def test_exactly_calibrated_is_zero(self):
    # Of 10 pairs at confidence 0.6 six are right; so for 0.8 and 0.9.
    margins = []
    for confidence in (0.6, 0.8, 0.9):
      right = np.arange(10) < round(10 * confidence)
      margins += list(np.where(right, 1, -1) * special.logit(confidence))
    actual = preference_accuracy.calibration_error(np.array(margins))
    self.assertAlmostEqual(actual, 0.0, places=12)

  def test_calibrated_generator_is_near_zero(self):
    generator = np.random.default_rng(0)
    sizes = np.abs(generator.normal(0, 2, 40_000))
    right = generator.random(40_000) < special.expit(sizes)
    margins = np.where(right, sizes, -sizes)
    self.assertLess(preference_accuracy.calibration_error(margins), 0.012)
    slope = preference_accuracy.calibration_slope(margins)
    self.assertAlmostEqual(slope, 1.0, delta=0.04)

  @parameterized.parameters((0.95, 60), (0.75, 75), (0.6, 90))
  def test_constant_confidence(self, confidence, right):
    # Always equally sure, whatever the order: |confidence − accuracy|.
    order = np.random.default_rng(1).permutation(100)
    signs = np.where(order < right, 1, -1)
    actual = preference_accuracy.calibration_error(
      signs * special.logit(confidence)
    )
    self.assertAlmostEqual(actual, abs(confidence - right / 100))

  def test_bins_hold_equally_many(self):
    margins = np.random.default_rng(2).normal(size=500)
    table = preference_accuracy.reliability(margins)
    np.testing.assert_allclose(table[:, 2], np.full(10, 0.1))
    self.assertTrue(np.all(np.diff(table[:, 0]) > 0))
    # The folded accuracies add up to the whole's.
    np.testing.assert_allclose(table[:, 1].mean(), np.mean(margins > 0))

  def test_ties_are_half_right_at_a_half(self):
    np.testing.assert_allclose(
      preference_accuracy.reliability(np.zeros(7)), [[0.5, 0.5, 1.0]]
    )

  @parameterized.parameters(0.5, 1.0, 4.0)
  def test_slope_is_the_likelihoods_maximum(self, scale):
    margins = scale * np.random.default_rng(3).normal(0.7, 1.0, 300)
    found = optimize.minimize_scalar(
      lambda s: -np.sum(special.log_expit(s * margins)),
      bounds=(0, 20),
      method='bounded',
      options={'xatol': 1e-9},
    ).x
    actual = preference_accuracy.calibration_slope(margins)
    self.assertAlmostEqual(actual, found, places=5)

  @parameterized.parameters(
    ([1.0, 2.0, 0.0], np.inf), ([-1.0, -2.0], -np.inf), ([0.0], np.nan)
  )
  def test_slope_without_a_maximum(self, margins, expected):
    actual = preference_accuracy.calibration_slope(np.array(margins))
    np.testing.assert_equal(actual, expected)


if __name__ == '__main__':
  absltest.main()
