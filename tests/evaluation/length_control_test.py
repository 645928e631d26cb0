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
    rows, _ = length_control.rows_of(credits, gaps, prompts_of(120))
    for row, expected in zip(
      weights, length_control.fit(rows, weights), strict=True
    ):

      def loss(x, row=row):
        logits = x[0] + x[1] * np.tanh(gaps / gaps.std(ddof=1))
        likelihoods = credits * special.log_expit(logits) + (
          1 - credits
        ) * special.log_expit(-logits)
        return -np.sum(row * likelihoods)

      found = optimize.minimize(loss, np.zeros(2), tol=1e-10).x
      np.testing.assert_allclose(expected, found, atol=1e-4)

  def test_with_difficulties_it_is_the_mean_prediction(self):
    # By another optimiser, of the likelihood as the paper writes it.
    credits, gaps = draw(0.3, 1.0, count=150)
    hard = np.random.default_rng(2).normal(0.5, 1.0, 150)
    lengths = np.tanh(gaps / gaps.std(ddof=1))

    def loss(x):
      logits = x[0] + x[1] * lengths + x[2] * hard
      likelihoods = credits * special.log_expit(logits) + (
        1 - credits
      ) * special.log_expit(-logits)
      return -np.sum(likelihoods)

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

  def test_missing_verdicts_count_in_the_unit_of_length_alone(self):
    # As in AlpacaEval: the sd is that of all pairs, judged or not.
    credits, gaps = draw(0.3, 1.0, count=200)
    unit = gaps.std(ddof=1)
    further = np.full(2, np.sqrt(200) * unit) * (1, -1)
    holes = rate(np.append(credits, [np.nan, np.nan]), np.append(gaps, further))
    doubled = np.append(gaps, further).std(ddof=1) / unit
    self.assertBetween(doubled, 1.5, 2.0)
    rows, _ = length_control.rows_of(credits, gaps, prompts_of(200))
    features = np.stack([np.ones(200), np.tanh(gaps / unit / doubled)], axis=1)
    theta, _ = length_control.fit(
      rows._replace(features=features), np.ones((1, 200))
    )[0]
    self.assertAlmostEqual(holes.value, special.expit(theta), delta=1e-9)

  @parameterized.parameters(
    ([1, 1, 1, 1], [3, -1, 2, 5], 'all 4 verdicts are alike'),
    ([0.5] * 4, [3, -1, 2, 5], 'all 4 verdicts are alike'),
    ([1, 0, 1, 0.5], [3, 1, 2, 0], 'never the shorter one'),
    ([1, 0, 1, 0.5], [-3, -1, -2, -1], 'never the longer one'),
    ([1, 1, 0, 0], [5, 3, 2, -1], 'length tells every verdict'),
    ([1, 1, 0.5, 0], [5, 3, 0, -1], 'length tells every verdict'),
  )
  def test_where_length_cannot_be_told_from_quality(self, won, gaps, why):
    with self.assertRaisesRegex(length_control.NotIdentifiedError, why):
      rate(np.array(won, float), np.array(gaps, float))
    back = 1 - np.array(won, float), -np.array(gaps, float)
    with self.assertRaises(length_control.NotIdentifiedError):
      rate(*back)

  def test_of_one_question_alone_nothing_is_told(self):
    credits, gaps = np.array([1.0, 1.0, 0.0, 1.0, 0.0]), np.arange(-2.0, 3.0)
    with self.assertRaisesRegex(
      length_control.NotIdentifiedError, 'all verdicts are on one question'
    ):
      length_control.win_rate(credits, gaps, prompts_of(1) * 5)

  def test_one_verdict_against_length_is_enough(self):
    credits = np.array([1.0, 1.0, 0.0, 1.0, 0.0])
    actual = rate(credits, np.array([5.0, 3.0, 2.0, -1.0, -4.0]))
    self.assertBetween(actual.value, 0.1, 0.9)
    self.assertLess(actual.low, actual.high - 0.2)

  def test_copies_hold_what_the_own_lengths_do_not_say(self):
    generator = np.random.default_rng(3)
    prompts = prompts_of(400)
    copies = []
    for sign in (-1, 1):
      gaps = sign * generator.uniform(100, 900, 400)
      chances = special.expit(2.0 * np.tanh(gaps / gaps.std(ddof=1)))
      copies.append(length_control.Copies(prompts, chances, gaps))
    gaps = generator.uniform(100, 900, 400)  # Never the shorter one.
    credits = special.expit(-0.5 + 2.0 * np.tanh(gaps / gaps.std(ddof=1)))
    with self.assertRaises(length_control.NotIdentifiedError):
      rate(credits, gaps)
    actual = rate(credits, gaps, copies=copies)
    self.assertAlmostEqual(actual.value, special.expit(-0.5), delta=0.01)

  # By scikit-learn 1.9.1's LogisticRegressionCV with the options and the
  # weights of alpaca_eval 0.6.6 (L1, liblinear, ten strengths, five folds of
  # rows, log loss of soft verdicts), its tolerance 1e-10. With theirs of 1e-4
  # the win rates are 0.375746 and 0.374054.
  @parameterized.parameters(
    (True, (-0.53650135, 1.20389878, 0.61069764), 0.37574069),
    (False, (-0.51487441, 1.15913042), 0.37405155),
  )
  def test_as_scikit_learn_fits_it(self, with_difficulties, expected, mean):
    i = np.arange(90.0)
    hard = np.sin(0.9 * i) + 0.3 * np.cos(5.3 * i)
    noise = 1.5 * np.sin(12.9898 * i)

    def credits(theta, gaps, noise):
      logits = theta + 1.6 * np.tanh(gaps / 300) + 0.8 * hard + noise
      return np.round(special.expit(logits), 3)

    gaps = np.round(400 * np.sin(1.7 * i) + 150)
    concise = np.round(-500 - 200 * np.sin(2.3 * i))
    verbose = np.round(350 + 250 * np.cos(1.1 * i))
    own, prompts = credits(-0.7, gaps, noise), prompts_of(90)
    copies = (
      length_control.Copies(prompts, credits(0.0, concise, -noise), concise),
      length_control.Copies(
        prompts, credits(0.0, verbose, noise[::-1]), verbose
      ),
    )
    difficulties = hard if with_difficulties else None
    rows, _ = length_control.rows_of(own, gaps, prompts, difficulties, copies)
    chosen = length_control.strength(rows)
    self.assertAlmostEqual(chosen, 21.54434690031882)
    found = length_control.fit(rows, np.ones((1, 270)), penalty=1 / chosen)[0]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    actual = rate(
      own, gaps, difficulties=difficulties, copies=copies, resamples=50
    )
    self.assertAlmostEqual(actual.value, mean, delta=1e-6)
    self.assertBetween(actual.value, actual.low, actual.high)
    self.assertLess(actual.low, actual.high)

  def test_a_penalty_that_leaves_nothing_gives_no_number(self):
    # Four verdicts, of which each held-out one goes against the others.
    prompts = prompts_of(4)
    copy = length_control.Copies(
      prompts, np.array([1.0, 0.0, 1.0, 0.0]), np.array([9.0, 5.0, -7.0, -3.0])
    )
    with self.assertRaisesRegex(
      length_control.NotIdentifiedError, 'leaves nothing'
    ):
      rate(
        np.array([1.0, 0.0, 1.0, 0.0]),
        np.array([1.0, 1.0, -1.0, -1.0]),
        copies=[copy],
      )

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
    self.assertFalse(length_control.far_apart(raw, None))


if __name__ == '__main__':
  absltest.main()
