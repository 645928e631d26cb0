"""A reward model on policy samples, against sums worked by hand."""

import itertools

import numpy as np
import scipy.stats
from absl.testing import absltest, parameterized
from scipy import special

from rlhf_jax.evaluation import off_distribution, preference_accuracy

# Three prompts, three samples each; the last prompt's gold is all alike.
GOLD = np.array([[0.0, 2.0, 1.0], [5.0, 5.0, 4.0], [3.0, 3.0, 3.0]])
SCORES = np.array([[0.1, 0.9, 0.9], [0.3, 0.1, 0.2], [7.0, 8.0, 9.0]])
# Pairs (better over worse): 1 > 0 right, 2 > 0 right, 1 > 2 tie; 3 > 5 right,
# 4 > 5 wrong.
CREDITS = np.array([1.0, 1.0, 0.5, 1.0, 0.0])


def draw(seed, prompts, samples, *, spread=1.0, noise=0.7):
  """Gold of a given spread, and scores that are gold and noise."""
  generator = np.random.default_rng(seed)
  gold = generator.normal(0.0, spread, (prompts, samples))
  return gold + generator.normal(0.0, noise, gold.shape), gold


class PairsTest(parameterized.TestCase):
  def test_by_hand(self):
    better, worse = off_distribution.own_pairs(GOLD)
    self.assertEqual(better.tolist(), [1, 2, 1, 3, 4])
    self.assertEqual(worse.tolist(), [0, 0, 2, 5, 5])

  def test_every_pair_once(self):
    gold = np.random.default_rng(0).integers(0, 4, (6, 5))
    actual = zip(*off_distribution.own_pairs(gold), strict=True)
    expected = {
      (5 * p + i, 5 * p + j)
      for p in range(6)
      for i, j in itertools.permutations(range(5), 2)
      if gold[p, i] > gold[p, j]
    }
    actual = list(actual)
    self.assertLen(actual, len(expected))
    self.assertEqual(set(actual), expected)

  @parameterized.named_parameters(
    ('all_alike', np.ones((3, 4)), 'no two samples'),
    ('one_sample', np.ones((3, 1)), '2 samples'),
    ('one_prompt_flat', np.ones(4), '2 samples'),
    ('not_a_number', np.array([[1.0, np.nan]]), 'finite'),
  )
  def test_refuses(self, gold, message):
    with self.assertRaisesRegex(ValueError, message):
      off_distribution.own_pairs(gold)

  @parameterized.named_parameters(
    ('accuracy', off_distribution.accuracy),
    ('correlation', off_distribution.within_prompt_correlation),
    ('regret', off_distribution.top_regret),
  )
  def test_refuses_what_would_broadcast(self, measure):
    with self.assertRaisesRegex(ValueError, r'alike; these .*\(1, 3\)'):
      measure(SCORES[:1], GOLD)


class AccuracyTest(absltest.TestCase):
  def test_by_hand(self):
    actual = off_distribution.accuracy(SCORES, GOLD)
    self.assertAlmostEqual(actual.value, 3.5 / 5)
    # Two prompts: √(2 Σ (sum of credit − mean)²) / 5.
    sums = np.array([2.5 - 3 * 0.7, 1.0 - 2 * 0.7])
    expected = np.sqrt(2 * np.sum(sums**2)) / 5
    self.assertAlmostEqual(actual.standard_error, expected)

  def test_invariant_to_what_keeps_the_order(self):
    scores, gold = draw(0, 50, 4)
    plain = off_distribution.accuracy(scores, gold)
    warped = off_distribution.accuracy(np.exp(scores), gold)
    back = off_distribution.accuracy(-scores, gold)
    self.assertEqual(plain, warped)
    self.assertAlmostEqual(plain.value, 1 - back.value)

  def test_difference_by_hand(self):
    # The other model has every pair of the first prompt wrong, and 4 > 5 right.
    other = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    gains = CREDITS - np.array([0.0, 0.0, 0.0, 1.0, 1.0])
    actual = off_distribution.difference(SCORES, other, GOLD)
    self.assertAlmostEqual(actual.value, gains.mean())
    sums = np.array([gains[:3].sum(), gains[3:].sum()])
    sums -= gains.mean() * np.array([3, 2])
    expected = np.sqrt(2 * np.sum(sums**2)) / 5
    self.assertAlmostEqual(actual.standard_error, expected)

  def test_pairing_narrows_the_difference(self):
    scores, gold = draw(1, 200, 4)
    nearly = scores + np.random.default_rng(2).normal(0, 0.05, gold.shape)
    paired = off_distribution.difference(scores, nearly, gold)
    alone = off_distribution.accuracy(scores, gold)
    self.assertLess(paired.standard_error, 0.5 * alone.standard_error)
    same = off_distribution.difference(scores, 2 * scores, gold)
    self.assertEqual(same, (0.0, 0.0, 0.0, 0.0))


class MatchedTest(parameterized.TestCase):
  def test_by_hand(self):
    # Gaps here: 2, 1, 1, 1, 1, of credits 1, 1, ½, 1, 0; in the other policy
    # three pairs of gap 1, two of 2, one of 3, which no pair here has.
    like = np.array([[0.0, 1.0, 3.0, 2.0]])
    actual = off_distribution.matched_accuracy(
      SCORES, GOLD, like, edges=[0, 1.5, 2.5, 9]
    )
    self.assertAlmostEqual(actual.covered, 5 / 6)
    expected = 3 / 5 * (2.5 / 4) + 2 / 5 * 1.0
    self.assertAlmostEqual(actual.accuracy.value, expected)

  def test_last_bin_has_its_upper_end_and_the_rest_is_left_out(self):
    gold = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]])
    scores = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    like = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0], [0.0, 0.5]])
    # In [1, 2]: the first two, one right; of the other's pairs two of four.
    actual = off_distribution.matched_accuracy(scores, gold, like, edges=[1, 2])
    self.assertEqual(actual.covered, 0.5)
    self.assertAlmostEqual(actual.accuracy.value, 0.5)
    # Two bins: [1, 2) and [2, 3], the other's shares ¼ and ½.
    actual = off_distribution.matched_accuracy(
      scores, gold, like, edges=[1, 2, 3]
    )
    self.assertEqual(actual.covered, 0.75)
    self.assertAlmostEqual(actual.accuracy.value, 1 / 3 * 1 + 2 / 3 * 0.5)

  def test_like_itself_is_the_accuracy(self):
    scores, gold = draw(3, 80, 5)
    plain = off_distribution.accuracy(scores, gold)
    edges = off_distribution.gap_edges(gold)
    matched, covered = off_distribution.matched_accuracy(
      scores, gold, gold, edges=edges
    )
    self.assertAlmostEqual(matched.value, plain.value)
    self.assertAlmostEqual(covered, 1.0)
    # A known mix of bins takes noise away, if little.
    self.assertLess(matched.standard_error, 1.02 * plain.standard_error)
    one_bin, _ = off_distribution.matched_accuracy(
      scores, gold, gold, edges=[0, np.inf]
    )
    np.testing.assert_allclose(one_bin, plain)

  def test_closer_samples_do_not_look_like_a_worse_model(self):
    scores, gold = draw(4, 400, 5)
    close_scores, close_gold = draw(5, 400, 5, spread=0.4)
    own = off_distribution.accuracy(scores, gold)
    raw = off_distribution.accuracy(close_scores, close_gold)
    self.assertLess(raw.high, own.low - 0.05)
    edges = off_distribution.gap_edges(gold)
    matched, covered = off_distribution.matched_accuracy(
      close_scores, close_gold, gold, edges=edges
    )
    # Right with chance Φ(gap / (noise √2)), over the gaps that are covered.
    gaps = np.subtract(*(gold.ravel()[i] for i in _pairs(gold)))
    top = np.searchsorted(edges, _widest(close_gold), side='right')
    gaps = gaps[gaps < edges[top]]
    expected = special.ndtr(gaps / (0.7 * np.sqrt(2))).mean()
    error = 4 * matched.standard_error
    self.assertAlmostEqual(matched.value, expected, delta=error + 0.02)
    self.assertLess(error, 0.12)
    self.assertAlmostEqual(covered, gaps.size / _pairs(gold)[0].size)

  def test_error_is_the_jackknifes(self):
    scores, gold = draw(6, 60, 4, spread=0.5)
    _, like = draw(7, 60, 4)
    edges = off_distribution.gap_edges(like, bins=4)

    def matched(rows):
      return off_distribution.matched_accuracy(
        scores[rows], gold[rows], like, edges=edges
      ).accuracy

    left_out = np.array(
      [matched(np.arange(60) != row).value for row in range(60)]
    )
    spread = np.sum((left_out - left_out.mean()) ** 2)
    expected = np.sqrt(59 / 60 * spread)
    actual = matched(np.arange(60)).standard_error
    self.assertBetween(actual / expected, 0.9, 1.03)

  def test_bins_all_right_and_all_wrong_keep_a_width(self):
    # Wide gaps right, narrow ones wrong: no row differs from its bin's mean.
    gold = np.tile([[0.0, 1.0, 3.0]], (7, 1))
    scores = np.tile([[1.0, 0.0, 3.0]], (7, 1))
    actual, _ = off_distribution.matched_accuracy(
      scores, gold, gold, edges=[0.0, 1.5, 4.0]
    )
    self.assertAlmostEqual(actual.value, 2 / 3)
    self.assertEqual(actual.standard_error, 0.0)
    self.assertLess(actual.low, 0.4)
    self.assertGreater(actual.high, 0.85)

  def test_edges_hold_equally_many(self):
    _, gold = draw(8, 45, 5)
    edges = off_distribution.gap_edges(gold, bins=9)
    gaps = np.subtract(*(gold.ravel()[i] for i in _pairs(gold)))
    np.testing.assert_array_equal(np.histogram(gaps, edges)[0], [50] * 9)
    # Gaps 1, 1 and 2: equal ones stay together, and no bin is empty.
    coarse = off_distribution.gap_edges([[0.0, 1.0, 2.0]])
    np.testing.assert_array_equal(coarse, [0.0, 2.0, np.inf])

  @parameterized.parameters(
    ([0.0], 'ascend'), ([0.0, 2.0, 2.0], 'ascend'), ([50.0, 60.0], 'no bin')
  )
  def test_refuses(self, edges, message):
    with self.assertRaisesRegex(ValueError, message):
      off_distribution.matched_accuracy(SCORES, GOLD, GOLD, edges=edges)


class RankTest(parameterized.TestCase):
  @parameterized.named_parameters(('fine', 1e9), ('with_ties', 2.0))
  def test_is_spearmans(self, steps):
    scores, gold = draw(9, 40, 6)
    scores, gold = np.round(scores * steps), np.round(gold * steps)
    expected = []
    for row, gold_row in zip(scores, gold, strict=True):
      if np.ptp(row) > 0 and np.ptp(gold_row) > 0:
        expected.append(scipy.stats.spearmanr(row, gold_row).statistic)
    actual = off_distribution.within_prompt_correlation(scores, gold)
    self.assertAlmostEqual(actual.value, np.mean(expected))
    self.assertAlmostEqual(actual.standard_error, scipy.stats.sem(expected))

  def test_prompts_all_alike_are_left_out(self):
    # ρ is √3 / 2 where two of three scores tie; then ½ and left out.
    gold = np.array([[0.0, 2.0, 1.0], [5.0, 6.0, 4.0], [3.0, 3.0, 3.0]])
    scores = np.array([[0.1, 0.9, 0.9], [0.3, 0.2, 0.1], [7.0, 8.0, 9.0]])
    actual = off_distribution.within_prompt_correlation(scores, gold)
    self.assertAlmostEqual(actual.value, (np.sqrt(3) / 2 + 0.5) / 2)
    swapped = off_distribution.within_prompt_correlation(gold, scores)
    self.assertAlmostEqual(swapped.value, actual.value)

  def test_scores_all_alike_have_none(self):
    flat = np.zeros_like(GOLD)
    actual = off_distribution.within_prompt_correlation(flat, GOLD)
    np.testing.assert_array_equal(actual, [np.nan] * 4)
    self.assertEqual(off_distribution.accuracy(flat, GOLD).value, 0.5)

  def test_regret_by_hand(self):
    # The first prompt's top scores tie: gold 2 or 1. Then 5 of 5, and 3 of 3.
    actual = off_distribution.top_regret(SCORES, GOLD)
    self.assertAlmostEqual(actual.value, (0.5 + 0.0 + 0.0) / 3)
    worst = off_distribution.top_regret(-GOLD, GOLD)
    self.assertAlmostEqual(worst.value, (2.0 + 1.0 + 0.0) / 3)
    self.assertAlmostEqual(worst.standard_error, np.sqrt(1 / 3))


class MeasureTest(absltest.TestCase):
  def test_holds_all_of_it(self):
    scores, gold = draw(10, 30, 4)
    _, like = draw(11, 30, 4, spread=2.0)
    actual = off_distribution.measure(scores, gold, like)
    better, worse = _pairs(gold)
    margins = scores.ravel()[better] - scores.ravel()[worse]
    chances = special.expit(margins)
    self.assertEqual(actual.count, 30 * 6)
    self.assertAlmostEqual(actual.accuracy.value, np.mean(margins > 0))
    self.assertAlmostEqual(actual.log_loss, -np.mean(np.log(chances)))
    self.assertAlmostEqual(actual.margin_sd, np.std(margins, ddof=1))
    self.assertAlmostEqual(actual.score_mean, np.mean(scores))
    self.assertAlmostEqual(actual.score_sd, np.std(scores, ddof=1))
    self.assertEqual(
      actual.calibration_error, preference_accuracy.calibration_error(margins)
    )
    self.assertEqual(
      actual.calibration_slope, preference_accuracy.calibration_slope(margins)
    )
    self.assertEqual(
      actual.matched,
      off_distribution.matched_accuracy(
        scores, gold, like, edges=off_distribution.gap_edges(like)
      ),
    )
    self.assertEqual(
      actual.correlation,
      off_distribution.within_prompt_correlation(scores, gold),
    )
    self.assertEqual(actual.regret, off_distribution.top_regret(scores, gold))


def _pairs(gold):
  """The pairs without the code under test, first by prompt."""
  better, worse = [], []
  for p, row in enumerate(gold):
    for i, j in itertools.combinations(range(len(row)), 2):
      order = (i, j) if row[i] > row[j] else (j, i)
      better.append(p * len(row) + order[0])
      worse.append(p * len(row) + order[1])
  return np.array(better), np.array(worse)


def _widest(gold):
  return np.ptp(gold, axis=1).max()


if __name__ == '__main__':
  absltest.main()
