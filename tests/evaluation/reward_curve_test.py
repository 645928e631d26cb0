"""Over-optimisation curves: fits, matched KL, and when gold turns over."""

import numpy as np
from absl.testing import absltest, parameterized
from scipy import optimize

from rlhf_jax.evaluation import reward_curve

DISTANCES = np.linspace(0.2, 4.0, 12)


def curve(kl, gold, score=None, steps=None):
  return reward_curve.RewardCurve(
    steps=np.arange(len(kl)) if steps is None else steps,
    kl=np.asarray(kl, float),
    score=np.asarray(kl if score is None else score, float),
    gold=None if gold is None else np.asarray(gold, float),
  )


class FitTest(parameterized.TestCase):
  @parameterized.parameters((1.0, 0.3), (0.5, 0.05), (2.0, 1.1))
  def test_recovers_best_of_n(self, alpha, beta):
    def form(d):
      return d * (alpha - beta * d)

    fit = reward_curve.fit_best_of_n(DISTANCES, form(DISTANCES))
    np.testing.assert_allclose(fit[:2], (alpha, beta), rtol=1e-6)
    self.assertLess(fit.residual, 1e-9)
    top = optimize.minimize_scalar(
      lambda d: -form(d),
      bounds=(0, 20),
      method='bounded',
      options={'xatol': 1e-10},
    )
    np.testing.assert_allclose(fit[2:4], (top.x, -top.fun), rtol=1e-6)

  @parameterized.parameters((1.0, 0.6), (0.5, 0.3), (0.2, 0.4))
  def test_recovers_reinforcement(self, alpha, beta):
    def form(d):
      return d * (alpha - beta * np.log(d))

    # The start, where the form's slope is infinite, must not matter.
    distances = np.concatenate([[0.0, 0.05], DISTANCES])
    gold = np.concatenate([[0.0, 9.0], form(DISTANCES)])
    fit = reward_curve.fit_reinforcement(distances, gold)
    np.testing.assert_allclose(fit[:2], (alpha, beta), rtol=1e-6)
    top = optimize.minimize_scalar(
      lambda d: -form(d),
      bounds=(1e-3, 20),
      method='bounded',
      options={'xatol': 1e-10},
    )
    np.testing.assert_allclose(fit[2:4], (top.x, -top.fun), rtol=1e-6)

  def test_a_straight_rise_has_no_peak(self):
    for fit in (reward_curve.fit_best_of_n, reward_curve.fit_reinforcement):
      found = fit(DISTANCES, DISTANCES**1.5)
      self.assertTrue(np.isnan(found.peak) and np.isnan(found.height))

  def test_residual_is_what_is_left(self):
    # Orthogonal to both features by construction, so it all stays.
    features = np.stack([DISTANCES, -(DISTANCES**2)], axis=1)
    noise = np.random.default_rng(0).normal(size=12)
    noise -= features @ np.linalg.pinv(features) @ noise
    fit = reward_curve.fit_best_of_n(DISTANCES, DISTANCES + noise)
    np.testing.assert_allclose(fit.alpha, 1.0)
    np.testing.assert_allclose(fit.residual, np.sqrt(np.mean(noise**2)))

  def test_refuses_one_checkpoint(self):
    with self.assertRaisesRegex(ValueError, 'at least two'):
      reward_curve.fit_reinforcement([0.01, 1.0], [0.0, 1.0])


class MatchedTest(parameterized.TestCase):
  def test_distances_of_negative_estimates(self):
    actual = curve([-0.1, 0.0, 4.0], None).distances
    np.testing.assert_array_equal(actual, [0.0, 0.0, 2.0])

  def test_gold_at_is_linear_in_the_distance_and_sorts(self):
    # Distances 0, 1, 2 with gold 0, 2, 1, written in another order.
    c = curve([4.0, 0.0, 1.0], [1.0, 0.0, 2.0])
    actual = reward_curve.gold_at(c, np.array([0.5, 1.0, 1.25, 2.0, 2.1]))
    np.testing.assert_allclose(actual, [1.0, 2.0, 1.75, 1.0, np.nan])

  def test_gap_is_the_area_between(self):
    # On [0, 2]: d against the tent 0, 2, 1. Areas 2 and 1 + 1.5.
    first = curve([0.0, 9.0], [0.0, 3.0])
    second = curve([0.0, 1.0, 4.0], [0.0, 2.0, 1.0])
    actual = reward_curve.matched_gold(first, second)
    np.testing.assert_allclose(actual.kl, [0.0, 1.0, 4.0])
    np.testing.assert_allclose(actual.first, [0.0, 1.0, 2.0])
    np.testing.assert_allclose(actual.second, [0.0, 2.0, 1.0])
    self.assertAlmostEqual(actual.gap, (2.0 - 2.5) / 2)
    swapped = reward_curve.matched_gold(second, first)
    self.assertAlmostEqual(swapped.gap, 0.25)

  def test_refuses_no_common_range(self):
    with self.assertRaisesRegex(ValueError, 'share no range'):
      reward_curve.matched_gold(
        curve([0.0, 1.0], [0, 1]), curve([2.0, 3.0], [0, 1])
      )


class TurnOverTest(parameterized.TestCase):
  def simulate(self, shape, *, seed, proxy_slope=0.01, steps=100):
    generator = np.random.default_rng(seed)
    step = np.arange(steps)
    return curve(
      0.05 * step,
      shape(step) + 0.1 * generator.normal(size=steps),
      score=proxy_slope * step + 0.1 * generator.normal(size=steps),
    )

  def share_found(self, shape, **options):
    found = [
      reward_curve.turn_over(self.simulate(shape, seed=s, **options)).found
      for s in range(200)
    ]
    return np.mean(found)

  def test_by_hand(self):
    # Two stretches of four rows; the first row is left over.
    gold = [9.0, 5.0, 4.0, 6.0, 3.0, 1.0, 2.0, 0.0, 3.0]
    score = [0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 4.0, 6.0]
    actual = reward_curve.turn_over(
      curve(np.arange(9.0), gold, score, steps=np.arange(9) * 10), stretches=2
    )
    self.assertEqual((actual.step, actual.kl), (25.0, 2.5))
    self.assertAlmostEqual(actual.gold_lost.value, 4.5 - 1.5)
    self.assertAlmostEqual(actual.score_gained.value, 4.5 - 1.5)
    # Each half's means are of two rows: variances ½, ½, ½, ½ over 2 each.
    self.assertAlmostEqual(
      actual.gold_lost.standard_error,
      np.sqrt((0.5 + 0.5 + 0.5 + 0.5) / 2) / 2,
    )

  def test_measures_a_known_loss(self):
    def plateaus(step):  # Best between 20 and 40, 0.5 lower at the end.
      return np.where((step >= 20) & (step < 40), 1.0, 0.5)

    turns = [
      reward_curve.turn_over(self.simulate(plateaus, seed=s))
      for s in range(200)
    ]
    lost = np.array([turn.gold_lost.value for turn in turns])
    self.assertAlmostEqual(lost.mean(), 0.5, delta=0.02)
    errors = [turn.gold_lost.standard_error for turn in turns]
    self.assertAlmostEqual(np.mean(errors), lost.std(), delta=0.015)
    self.assertTrue(all(turn.found for turn in turns))
    self.assertTrue(all(20 <= turn.step < 40 for turn in turns))

  def test_noise_alone_is_rarely_called_a_loss(self):
    self.assertLess(self.share_found(lambda step: 0.0 * step), 0.07)

  def test_a_steady_rise_is_never_one(self):
    self.assertEqual(self.share_found(lambda step: 0.02 * step), 0.0)

  def test_a_policy_that_fell_apart_is_not_over_optimised(self):
    def peak(step):
      return 1 - np.abs(step - 40) / 40

    self.assertEqual(self.share_found(peak), 1.0)
    self.assertEqual(self.share_found(peak, proxy_slope=-0.01), 0.0)

  def test_refuses_short_or_goldless_curves(self):
    for bad in (curve(np.ones(39), np.ones(39)), curve(np.ones(99), None)):
      with self.assertRaisesRegex(ValueError, '40 rows or more'):
        reward_curve.turn_over(bad)


if __name__ == '__main__':
  absltest.main()
