"""The best of n from one pool, against all subsets and against known sums."""

import itertools
import math

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import best_of_n


def over_all_subsets(score, values, n):
  """The mean over subsets of n of the value at the highest score, ties even."""
  chosen = []
  for subset in itertools.combinations(range(len(score)), n):
    top = max(score[i] for i in subset)
    chosen.append(np.mean([values[i] for i in subset if score[i] == top]))
  return np.mean(chosen)


class BestOfNTest(parameterized.TestCase):
  @parameterized.product(n=tuple(range(1, 9)), ties=(False, True))
  def test_equals_all_subsets(self, n, ties):
    score, gold = np.random.default_rng(n).normal(size=(2, 3, 8))
    if ties:
      score = score.round()
    actual = best_of_n.expectation(score, gold, n)
    expected = [
      over_all_subsets(p, g, n) for p, g in zip(score, gold, strict=True)
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-10)

  @parameterized.parameters((1, 2.5), (2, 10 / 3), (3, 3.75), (4, 4.0))
  def test_worked_values(self, n, expected):
    rewards = np.array([3.0, 1.0, 4.0, 2.0])
    actual = best_of_n.expectation(rewards, rewards, n)
    self.assertAlmostEqual(float(actual), expected)

  def test_ends_are_the_mean_and_the_chosen(self):
    score, gold = np.random.default_rng(0).normal(size=(2, 4, 16))
    np.testing.assert_allclose(
      best_of_n.expectation(score, gold, 1), gold.mean(axis=1)
    )
    np.testing.assert_allclose(
      best_of_n.expectation(score, gold, 16),
      gold[np.arange(4), score.argmax(axis=1)],
    )

  def test_large_pools_do_not_overflow(self):
    actual = best_of_n.expectation(np.arange(4096.0), np.ones(4096), 2048)
    self.assertAlmostEqual(float(actual), 1.0, places=9)

  def test_uniform_scores_have_the_order_statistics_mean(self):
    # E[max of n] of the ranks 1..K without replacement: n (K + 1) / (n + 1).
    ranks = np.arange(1.0, 101.0)
    actual = best_of_n.expectation(ranks, ranks, 9)
    self.assertAlmostEqual(float(actual), 9 * 101 / 10)

  @parameterized.parameters(0, 9)
  def test_refuses_more_than_the_pool(self, n):
    with self.assertRaisesRegex(ValueError, f'best of {n}'):
      best_of_n.expectation(np.ones((2, 8)), np.ones((2, 8)), n)

  def test_refuses_values_of_another_shape(self):
    with self.assertRaisesRegex(ValueError, 'one value a score'):
      best_of_n.expectation(np.ones((2, 8)), np.ones(8), 2)

  @parameterized.parameters(
    (1, 0.0),
    (2, 0.1931),
    (4, 0.6363),
    (16, 1.8351),
    (64, 3.1745),
    (1024, 5.9324),
  )
  def test_divergence(self, n, expected):
    self.assertAlmostEqual(best_of_n.divergence(n), expected, places=4)

  def test_divergence_by_definition(self):
    # Best of 3 of a million equally likely outcomes, ranked.
    size = 1_000_000
    ranks = np.arange(1, size + 1) / size
    law = np.diff(np.concatenate([[0.0], ranks**3]))
    exact = np.sum(law * np.log(law * size))
    self.assertAlmostEqual(best_of_n.divergence(3), exact, places=4)


def over_all_draws(scores, base, n):
  """The law of the best of n over all draws, each tie's winner a fair toss."""
  law = np.zeros(len(base))
  for drawn in itertools.product(range(len(base)), repeat=n):
    top = max(scores[i] for i in drawn)
    best = [i for i in drawn if scores[i] == top]
    for i in best:
      law[i] += np.prod(base[list(drawn)]) / len(best)
  return law


def relative_entropy(law, base):
  return sum(
    p * math.log(p / q) for p, q in zip(law, base, strict=True) if p > 0.0
  )


def over_all_pools(scores, base, size, n):
  """The mean of the estimate over all pools of a size, by how often each of
  the responses is in it."""
  mean = 0.0
  for drawn in itertools.combinations_with_replacement(range(len(base)), size):
    counts = np.bincount(drawn, minlength=len(base))
    ways = math.factorial(size) / math.prod(map(math.factorial, counts))
    estimate = best_of_n.pool_divergence(np.repeat(scores, counts), n)
    mean += ways * np.prod(base**counts) * estimate
  return mean


# Scores of five responses, of which some tie, and the policy's chances.
SCORES = np.array([[0.5, 2.0, 0.5, -1.0, 2.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
BASE = np.array([[0.3, 0.1, 0.15, 0.4, 0.05], [0.2, 0.2, 0.2, 0.3, 0.1]])


class LawTest(parameterized.TestCase):
  @parameterized.parameters(1, 2, 5)
  def test_matches_all_draws(self, n):
    law = best_of_n.distribution(SCORES, BASE, n)
    distances = best_of_n.exact_divergence(SCORES, BASE, n)
    for row in range(2):
      expected = over_all_draws(SCORES[row], BASE[row], n)
      np.testing.assert_allclose(law[row], expected, rtol=1e-10)
      self.assertAlmostEqual(
        distances[row], relative_entropy(expected, BASE[row])
      )

  def test_worked_values(self):
    # Right with chance 1/4; of two, right with 1 − (3/4)² = 7/16.
    scores, base = np.array([0.0, 1.0]), np.array([0.75, 0.25])
    np.testing.assert_allclose(
      best_of_n.distribution(scores, base, 2), [9 / 16, 7 / 16], rtol=1e-12
    )
    expected = 9 / 16 * math.log(3 / 4) + 7 / 16 * math.log(7 / 4)
    actual = float(best_of_n.exact_divergence(scores, base, 2))
    self.assertAlmostEqual(actual, expected)  # 0.083, and log 2 − 1/2 is 0.193.

  def test_what_the_policy_never_says_is_never_best(self):
    scores, base = np.array([0.0, 1.0, 2.0]), np.array([0.5, 0.5, 0.0])
    for n in (1, 3, 4096):
      law = best_of_n.distribution(scores, base, n)
      np.testing.assert_allclose(law, [0.5**n, 1.0 - 0.5**n, 0.0], atol=1e-15)
      expected = relative_entropy(law, base)
      actual = float(best_of_n.exact_divergence(scores, base, n))
      self.assertAlmostEqual(actual, expected)

  @parameterized.parameters(2, 16, 256)
  def test_without_ties_many_responses_reach_the_bound(self, n):
    size = 100_000
    scores = np.random.default_rng(n).permutation(size)
    actual = best_of_n.exact_divergence(scores, np.full(size, 1 / size), n)
    bound = best_of_n.divergence(n)
    self.assertBetween(float(actual), bound - 1e-4, bound)

  def test_rare_scores_keep_their_precision(self):
    # The best of n of a score that comes once in 10¹²: n times likelier.
    base = np.array([1.0 - 1e-12, 1e-12])
    law = best_of_n.distribution(np.array([0.0, 1.0]), base, 100)
    np.testing.assert_allclose(law[1], 100e-12, rtol=1e-9)

  @parameterized.parameters(
    ([0.0, 1.0], [0.5, 0.5], 0, 'best of 0'),
    ([0.0, 1.0, 2.0], [0.5, 0.5], 2, 'one chance a score'),
    ([0.0, 1.0], [0.7, 0.7], 2, 'sum to 1'),
    ([0.0, 1.0], [1.5, -0.5], 2, '0 or more'),
    ([0.0, np.nan], [0.5, 0.5], 2, 'finite'),
  )
  def test_refusals(self, scores, base, n, said):
    with self.assertRaisesRegex(ValueError, said):
      best_of_n.distribution(np.array(scores), np.array(base), n)


class PoolDivergenceTest(parameterized.TestCase):
  def test_worked_value(self):
    # Three of four tie: as right with chance 1/4, above.
    expected = 9 / 16 * math.log(3 / 4) + 7 / 16 * math.log(7 / 4)
    pools = np.array([[0.0, 1.0, 0.0, 0.0], [3.0, 3.0, 3.0, 3.0]])
    actual = best_of_n.pool_divergence(pools, 2)
    np.testing.assert_allclose(actual, [expected, 0.0], atol=1e-12)

  def test_ties_keep_it_far_below_the_bound(self):
    # Right with chance 0.3: the best of 16 is surely right, at log 1 / 0.3.
    scores, base = np.array([0.0, 1.0]), np.array([0.7, 0.3])
    truth = float(best_of_n.exact_divergence(scores, base, 16))
    self.assertAlmostEqual(truth, math.log(1 / 0.3), delta=0.03)
    drawn = np.random.default_rng(0).random((200, 256)) < 0.3
    estimate = best_of_n.pool_divergence(drawn.astype(float), 16).mean()
    self.assertAlmostEqual(estimate, truth, delta=0.02)
    self.assertGreater(best_of_n.divergence(16), truth + 0.6)

  def test_the_bias_is_low_and_halves_with_the_pool(self):
    scores, base = np.array([0.0, 1.0]), np.array([0.7, 0.3])
    truth = float(best_of_n.exact_divergence(scores, base, 4))
    biases = [
      float(over_all_pools(scores, base, size, 4)) - truth
      for size in (16, 32, 64)
    ]
    self.assertBetween(biases[0], -0.04, -0.03)
    for larger, smaller in itertools.pairwise(biases):
      self.assertAlmostEqual(smaller / larger, 0.5, delta=0.05)

  def test_a_small_pool_may_be_biased_upwards(self):
    scores, base = np.array([0.0, 1.0]), np.array([0.35, 0.65])
    mean = float(over_all_pools(scores, base, 8, 16))
    self.assertGreater(
      mean, float(best_of_n.exact_divergence(scores, base, 16)) + 0.03
    )

  @parameterized.parameters(8, 32, 512)
  def test_never_above_the_bound_nor_the_pool(self, size):
    pool = np.random.default_rng(size).normal(size=size)
    estimate = float(best_of_n.pool_divergence(pool, 64))
    self.assertLess(estimate, min(best_of_n.divergence(64), math.log(size)))


class WinRateTest(parameterized.TestCase):
  @parameterized.parameters((1, 0.5), (2, 2 / 3), (16, 16 / 17))
  def test_values(self, n, expected):
    self.assertAlmostEqual(best_of_n.win_rate(n), expected)

  @parameterized.parameters(2, 4)
  def test_ties_at_one_half_lower_it(self, n):
    wins = 0.5 * (1.0 + np.sign(SCORES[0][:, None] - SCORES[0][None, :]))
    law = over_all_draws(SCORES[0], BASE[0], n)
    self.assertLess(law @ wins @ BASE[0], best_of_n.win_rate(n))
    size = 2000  # And hardly anything ties here.
    law = np.diff(np.linspace(0.0, 1.0, size + 1) ** n)
    below = (np.arange(size) + 0.5) / size
    self.assertAlmostEqual(law @ below, best_of_n.win_rate(n), places=5)


if __name__ == '__main__':
  absltest.main()
