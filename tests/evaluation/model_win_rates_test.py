"""Win rates of models by labels and by a judge."""

import numpy as np
from absl.testing import absltest
from scipy import stats

from rlhf_jax.evaluation import model_win_rates, statistics
from rlhf_jax.evaluation.agreement import LabelledPair
from rlhf_jax.types import Message, Prompt


def pair(asked, label, *models):
  prompt = Prompt((Message('user', asked),))
  return LabelledPair(prompt, 'one', 'other', label, models)


PAIRS = [
  pair('p', 1.0, 'a', 'b'),
  pair('p', 0.5, 'a', 'c'),
  pair('q', 0.0, 'b', 'c'),
  pair('q', 1.0, 'a', 'b'),
]
CREDITS = np.array([[0.9, 0.7], [0.0, 0.2], [1.0, 0.5], [0.5, 0.5]])


class ModelWinRatesTest(absltest.TestCase):
  def test_worked(self):
    found = model_win_rates.measure(PAIRS, CREDITS)
    # a: labels 1, ½, 1; credits 0.8, 0.1, 0.5. b: 0, 0, 0; 0.2, 0.75, 0.5.
    # c: ½, 1; 0.9, 0.25.
    expected = {'a': (2.5 / 3, 1.4 / 3, 3), 'c': (0.75, 1.15 / 2, 2)}
    expected |= {'b': (0.0, 1.45 / 3, 3)}
    self.assertEqual(list(found.rates), list(expected))
    for name, (labels, judge, count) in expected.items():
      rates = found.rates[name]
      self.assertAlmostEqual(rates.labels.value, labels)
      self.assertAlmostEqual(rates.judge.value, judge)
      self.assertEqual(rates.count, count)
    # Ranks a, c, b of the labels are 3, 2, 1, of the judge 1, 3, 2.
    self.assertAlmostEqual(found.rank_correlation.value, -0.5)

  def test_what_is_left_out(self):
    pairs = [*PAIRS, pair('r', 1.0, 'a', 'a'), pair('r', 1.0)]
    pairs += [pair('r', 1.0, 'b', 'd')]
    credits = np.concatenate([CREDITS, [[1, 1], [1, 1], [np.nan, 1]]])
    self.assertEqual(
      model_win_rates.measure(pairs, credits),
      model_win_rates.measure(PAIRS, CREDITS),
    )
    self.assertIsNone(model_win_rates.measure(pairs[4:], credits[4:]))

  def test_no_ranks(self):
    two = model_win_rates.measure(PAIRS[:1], CREDITS[:1])
    self.assertIsNone(two.rank_correlation)
    alike = model_win_rates.measure(PAIRS, np.full((4, 2), 0.5))
    self.assertIsNone(alike.rank_correlation)

  def test_rows_of_ranks_are_scipys(self):
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 4, size=(2, 50, 6)).astype(float)
    first[0] = 2.0
    expected = [
      stats.spearmanr(a, b).statistic
      for a, b in zip(first[1:], second[1:], strict=True)
    ]
    found = statistics.spearman(first, second)
    self.assertTrue(np.isnan(found[0]))
    np.testing.assert_allclose(found[1:], expected, atol=1e-12)

  def test_a_model_absent_from_a_resample_counts_as_a_half(self):
    # Prompt p alone: a over b in both. Prompt q alone: c over a.
    pairs = [pair('p', 1.0, 'a', 'b'), pair('q', 1.0, 'c', 'a')]
    credits = np.array([[0.8, 0.8], [0.7, 0.7]])
    found = model_win_rates.measure(pairs, credits).rank_correlation
    # Whole: labels a ½, b 0, c 1; judge a .55, b .2, c .7: the same ranks. So
    # they are of p alone (a, c, b) and of q alone (c, b, a).
    self.assertAlmostEqual(found.value, 1.0)
    self.assertAlmostEqual(found.low, 1.0)


if __name__ == '__main__':
  absltest.main()
