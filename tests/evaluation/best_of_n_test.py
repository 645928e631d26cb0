"""The best of n from one pool, against all subsets and against known sums."""

import itertools

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import best_of_n


def over_all_subsets(proxy, values, n):
  """The mean over subsets of n of the value at the highest proxy, ties even."""
  chosen = []
  for subset in itertools.combinations(range(len(proxy)), n):
    top = max(proxy[i] for i in subset)
    chosen.append(np.mean([values[i] for i in subset if proxy[i] == top]))
  return np.mean(chosen)


class BestOfNTest(parameterized.TestCase):
  @parameterized.product(n=tuple(range(1, 9)), ties=(False, True))
  def test_equals_all_subsets(self, n, ties):
    proxy, gold = np.random.default_rng(n).normal(size=(2, 3, 8))
    if ties:
      proxy = proxy.round()
    actual = best_of_n.expectation(proxy, gold, n)
    expected = [
      over_all_subsets(p, g, n) for p, g in zip(proxy, gold, strict=True)
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-10)

  @parameterized.parameters((1, 2.5), (2, 10 / 3), (3, 3.75), (4, 4.0))
  def test_worked_values(self, n, expected):
    rewards = np.array([3.0, 1.0, 4.0, 2.0])
    actual = best_of_n.expectation(rewards, rewards, n)
    self.assertAlmostEqual(float(actual), expected)

  def test_ends_are_the_mean_and_the_chosen(self):
    proxy, gold = np.random.default_rng(0).normal(size=(2, 4, 16))
    np.testing.assert_allclose(
      best_of_n.expectation(proxy, gold, 1), gold.mean(axis=1)
    )
    np.testing.assert_allclose(
      best_of_n.expectation(proxy, gold, 16),
      gold[np.arange(4), proxy.argmax(axis=1)],
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


if __name__ == '__main__':
  absltest.main()
