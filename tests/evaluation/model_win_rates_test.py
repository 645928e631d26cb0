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
    # a: labels 1, ½, 1; verdicts in both orders 1 1, 0 0, ½ ½.
    # b: 0, 0, 0; 0 0, 1 ½, ½ ½. c: ½, 1; 1 1, 0 ½.
    expected = {'a': (2.5 / 3, 1.5 / 3, 3), 'c': (0.75, 1.25 / 2, 2)}
    expected |= {'b': (0.0, 1.25 / 3, 3)}
    self.assertEqual(list(found.rates), list(expected))
    for name, (labels, judge, count) in expected.items():
      rate = found.rates[name]
      self.assertAlmostEqual(rate.by_labels.value, labels)
      self.assertAlmostEqual(rate.by_judge.value, judge)
      self.assertEqual(rate.count, count)
    # From the best, labels: a, c, b; the judge: c, a, b.
    self.assertAlmostEqual(found.rank_correlation.value, 0.5)

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

  def test_of_one_prompt_there_is_no_interval(self):
    pairs = [p._replace(prompt=PAIRS[0].prompt) for p in PAIRS]
    found = model_win_rates.measure(pairs, CREDITS).rank_correlation
    self.assertAlmostEqual(found.value, 0.5)
    self.assertTrue(np.isnan([found.low, found.high]).all())

  def test_resamples(self):
    # p: a over b. q: c over d, which the judge has the other way round. All of
    # p is 1, all of q −1, and of both a, c, b, d have labels 1, 1, 0, 0 and by
    # the judge 1, 0, 0, 1: nothing.
    pairs = [pair('p', 1.0, 'a', 'b'), pair('q', 1.0, 'c', 'd')]
    credits = np.array([[0.8, 0.9], [0.2, 0.4]])
    found = model_win_rates.measure(pairs, credits).rank_correlation
    self.assertAlmostEqual(found.value, 0.0)
    self.assertAlmostEqual(found.low, -1.0)
    self.assertAlmostEqual(found.high, 1.0)
    # The judge has a tie in q: of q alone nothing is ranked, which counts 0.
    credits[1] = 0.5
    found = model_win_rates.measure(pairs, credits).rank_correlation
    self.assertAlmostEqual(found.low, 0.0)

  def test_rows_of_ranks_are_scipys(self):
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 4, size=(2, 50, 6)).astype(float)
    first[0] = 2.0
    second[25:, 1] = np.nan
    expected = [
      stats.spearmanr(a[~np.isnan(b)], b[~np.isnan(b)]).statistic
      for a, b in zip(first[1:], second[1:], strict=True)
    ]
    found = statistics.spearman(first, second)
    self.assertTrue(np.isnan(found[0]))
    np.testing.assert_allclose(found[1:], expected, atol=1e-12)


if __name__ == '__main__':
  absltest.main()
