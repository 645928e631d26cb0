"""The win rate at equal length, where the answer is known."""

import numpy as np
from absl.testing import absltest, parameterized
from scipy import optimize, special

from rlhf_jax.evaluation import length_control, samples, statistics
from rlhf_jax.types import Message, Prompt


def prompts_of(count):
  return [Prompt((Message('user', str(row)),)) for row in range(count)]


def draw(theta, phi, *, count=2000, mean_gap=30.0, seed=0):
  """Verdicts from the model itself: credits [N] and length gaps [N]."""
  generator = np.random.default_rng(seed)
  gaps = generator.normal(mean_gap, 40.0, count)
  chances = special.expit(theta + phi * np.tanh(gaps / gaps.std()))
  return (generator.random(count) < chances).astype(float), gaps


def rate(credits, gaps, **options):
  options = {'resamples': 200} | options
  return length_control.win_rate(
    credits, gaps, prompts_of(len(gaps)), **options
  )


class LengthControlTest(parameterized.TestCase):
  def test_a_policy_against_itself_is_a_half(self):
    actual = rate(np.full(50, 0.5), np.zeros(50))
    np.testing.assert_allclose(actual, [0.5, 0.0, 0.5, 0.5], atol=1e-9)

  def test_a_judge_of_length_alone_gives_a_half(self):
    credits, gaps = draw(theta=0.0, phi=2.0)
    self.assertGreater(credits.mean(), 0.65)
    actual = rate(credits, gaps)
    self.assertAlmostEqual(actual.value, 0.5, delta=0.04)
    self.assertBetween(0.5, actual.low, actual.high)

  @parameterized.parameters((0.8, 1.5), (-0.5, 0.0), (0.4, -1.0))
  def test_finds_the_preference_behind_the_length(self, theta, phi):
    actual = rate(*draw(theta, phi, count=8000))
    expected = special.expit(theta)
    self.assertAlmostEqual(
      actual.value, expected, delta=4 * actual.standard_error
    )
    self.assertLess(actual.standard_error, 0.02)

  def test_swapping_gives_one_minus(self):
    credits, gaps = draw(0.3, 1.0, count=300)
    forth, back = rate(credits, gaps), rate(1 - credits, -gaps)
    np.testing.assert_allclose(forth.value, 1 - back.value, atol=1e-9)
    np.testing.assert_allclose(forth.low, 1 - back.high, atol=1e-9)

  def test_fit_is_the_likelihoods_maximum(self):
    credits, gaps = draw(0.3, 1.0, count=120)
    weights = np.random.default_rng(1).integers(0, 4, (2, 120)).astype(float)
    actual = length_control.fit(credits, gaps, weights)
    for row, expected in zip(weights, actual, strict=True):
      mean = np.average(gaps, weights=row)
      sd = np.sqrt(np.average((gaps - mean) ** 2, weights=row))

      def loss(x, row=row, sd=sd):
        logits = x[0] + x[1] * np.tanh(gaps / sd)
        likelihoods = credits * special.log_expit(logits) + (
          1 - credits
        ) * special.log_expit(-logits)
        prior = length_control.PRIOR_PRECISION * np.sum(x**2) / 2
        return prior - np.sum(row * likelihoods)

      found = optimize.minimize(loss, np.zeros(2), tol=1e-10).x
      np.testing.assert_allclose(expected, found, atol=1e-4)

  def test_with_difficulties_it_is_the_mean_prediction(self):
    # By another optimiser, of the likelihood as the paper writes it.
    credits, gaps = draw(0.3, 1.0, count=150)
    hard = np.random.default_rng(2).normal(0.5, 1.0, 150)
    lengths = np.tanh(gaps / gaps.std())

    def loss(x):
      logits = x[0] + x[1] * lengths + x[2] * hard
      likelihoods = credits * special.log_expit(logits) + (
        1 - credits
      ) * special.log_expit(-logits)
      prior = length_control.PRIOR_PRECISION * np.sum(x**2) / 2
      return prior - np.sum(likelihoods)

    theta, _, psi = optimize.minimize(loss, np.zeros(3), tol=1e-10).x
    actual = rate(credits, gaps, difficulties=hard, resamples=50)
    expected = np.mean(special.expit(theta + psi * hard))
    self.assertAlmostEqual(actual.value, expected, delta=1e-4)
    self.assertBetween(actual.value, actual.low, actual.high)
    back = rate(1 - credits, -gaps, difficulties=hard, resamples=50)
    self.assertAlmostEqual(back.value, 1 - actual.value, delta=1e-9)

  def test_difficulties_of_no_weight_change_nothing(self):
    credits, gaps = draw(0.3, 1.0, count=100)
    plain = rate(credits, gaps, resamples=50)
    flat = rate(credits, gaps, difficulties=np.zeros(100), resamples=50)
    np.testing.assert_allclose(plain, flat, atol=1e-9)

  def test_all_won_stays_finite(self):
    actual = rate(np.ones(40), np.arange(40.0))
    self.assertGreater(actual.value, 0.9)
    self.assertTrue(np.isfinite(actual).all())

  def test_missing_verdicts_do_not_count(self):
    credits, gaps = draw(0.3, 1.0, count=200)
    holes = np.concatenate([credits, np.full(20, np.nan)])
    actual = rate(holes, np.concatenate([gaps, np.full(20, 1e6)]))
    np.testing.assert_allclose(actual, rate(credits, gaps))

  def test_gaps_are_in_characters(self):
    def policy(name, responses):
      return samples.PolicySamples(
        name=name,
        prompts=prompts_of(2),
        responses=responses,
        lengths=np.ones(2),
        ended=np.ones(2, bool),
      )

    actual = length_control.length_gaps(
      policy('a', ['four', '']), policy('b', ['a', 'zwei'])
    )
    np.testing.assert_array_equal(actual, [3, -4])

  # Raw, and at equal length with its interval.
  @parameterized.parameters(
    (0.60, 0.69, False),  # Less than ten points.
    (0.60, 0.71, True),  # A quarter of the way up is 0.10.
    (0.60, 0.46, False),  # A quarter of the way down is 0.15.
    (0.60, 0.44, True),
    (0.20, 0.38, False),  # A quarter of the way up is 0.20.
    (0.25, 0.82, False, 0.6),  # Of few prompts, whose interval holds both.
  )
  def test_far_apart_by_hand(self, raw, value, expected, half=0.05):
    ends = value - half, value + half
    controlled = statistics.Estimate(value, half / 2, *ends)
    self.assertEqual(length_control.far_apart(raw, controlled), expected)


if __name__ == '__main__':
  absltest.main()
