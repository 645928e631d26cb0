"""Calibration against definitions, sums by hand and what is known of it."""

import numpy as np
from absl.testing import absltest, parameterized
from scipy import special

from rlhf_jax.evaluation import calibration, preference_accuracy

ALONE = np.arange(4)


class BrierTest(absltest.TestCase):
  def test_by_hand(self):
    # Chances ½ and ¾ of what surely is preferred, and of what surely is not.
    margins = np.array([0.0, np.log(3.0), np.log(3.0), 0.0])
    found = calibration.brier(margins, np.array([1.0, 1.0, 0.0, 0.0]), ALONE)
    self.assertAlmostEqual(found.value, (1 / 4 + 1 / 16 + 9 / 16 + 1 / 4) / 4)

  def test_is_what_verdicts_have_on_average(self):
    rng = np.random.default_rng(0)
    margins, preferred = rng.normal(size=50), rng.random(50)
    verdicts = rng.random((20_000, 50)) < preferred
    expected = np.mean((special.expit(margins) - verdicts) ** 2)
    found = calibration.brier(margins, preferred, np.arange(50))
    self.assertAlmostEqual(found.value, expected, places=3)

  def test_no_margins_do_better_than_the_odds(self):
    rng = np.random.default_rng(1)
    preferred, groups = rng.random(30), np.arange(30)
    best = calibration.brier(special.logit(preferred), preferred, groups).value
    self.assertAlmostEqual(best, np.mean(preferred * (1 - preferred)))
    for _ in range(20):
      margins = special.logit(preferred) + rng.normal(size=30)
      found = calibration.brier(margins, preferred, groups).value
      self.assertGreater(found, best)


class ErrorTest(parameterized.TestCase):
  def test_by_hand(self):
    # Sure by ¾ of four pairs that are preferred with ½, 1, and, turned, ¼, ½.
    margins = np.log(3.0) * np.array([1.0, 1.0, -1.0, -1.0])
    preferred = np.array([0.5, 1.0, 0.25, 0.5])
    found = calibration.error(margins, preferred, ALONE)
    right = np.array([0.5, 1.0, 0.75, 0.5])
    self.assertAlmostEqual(found.value, 0.75 - right.mean())
    spread = np.std(right, ddof=1) / 2
    self.assertAlmostEqual(found.standard_error, spread)

  def test_bins_do_not_make_up_for_each_other(self):
    # Two too sure by ¼, two not sure enough by ¼.
    margins = np.array([np.log(3.0)] * 2 + [0.0] * 2)
    preferred = np.array([0.5] * 4)
    both = calibration.error(margins, preferred, ALONE)
    self.assertAlmostEqual(both.value, 0.25 / 2)
    margins[2:] = -np.log(3.0)
    half = calibration.error(margins, np.array([1, 1, 0.5, 0.5]), ALONE)
    self.assertAlmostEqual(half.value, 0.0)  # One bin: ¼ too little and ¼ over.

  def test_the_odds_themselves_have_none(self):
    margins = np.random.default_rng(2).normal(size=300)
    found = calibration.error(margins, special.expit(margins), np.arange(300))
    self.assertAlmostEqual(found.value, 0.0)

  @parameterized.parameters(1, 2, 3)
  def test_of_sure_verdicts_is_the_reliability(self, seed):
    rng = np.random.default_rng(seed)
    margins = rng.normal(size=400)
    preferred = (rng.random(400) < special.expit(2 * margins)).astype(float)
    folded = np.where(preferred == 1.0, margins, -margins)
    found = calibration.error(margins, preferred, np.arange(400))
    expected = preference_accuracy.calibration_error(folded)
    self.assertAlmostEqual(found.value, expected)

  def test_pairs_of_a_prompt_count_as_one(self):
    rng = np.random.default_rng(3)
    margins, preferred = rng.normal(size=40), rng.random(40)
    one = calibration.error(margins, preferred, np.arange(40))
    twice = calibration.error(
      np.repeat(margins, 2), np.repeat(preferred, 2), np.arange(80) // 2
    )
    self.assertAlmostEqual(one.value, twice.value)
    self.assertAlmostEqual(one.high, twice.high)

  def test_what_is_no_chance_is_refused(self):
    for wrong in ([0.5, 1.2], [np.nan, 0.5]):
      with self.assertRaises(ValueError):
        calibration.measure(np.zeros(2), np.array(wrong), np.arange(2))


if __name__ == '__main__':
  absltest.main()
