"""The best of n above their median, against all subsets."""

import itertools

import numpy as np
from absl.testing import absltest, parameterized

from experiments.readings.potential_gain import order_statistic, potential_gain
from rlhf_jax.evaluation import best_of_n


class PotentialGainTest(parameterized.TestCase):
  @parameterized.product(n=tuple(range(1, 9)), ties=(False, True))
  def test_equals_all_subsets(self, n, ties):
    scores = np.random.default_rng(n).normal(size=(3, 8))
    if ties:
      scores = scores.round()
    expected = [
      np.mean(
        [max(some) - np.median(some) for some in itertools.combinations(row, n)]
      )
      for row in scores
    ]
    np.testing.assert_allclose(
      potential_gain(scores, n), expected, rtol=1e-10, atol=1e-12
    )

  @parameterized.product(n=(1, 3, 4), rank=(1, 2, 3, 4))
  def test_every_rank_equals_all_subsets(self, n, rank):
    scores = np.array([0.5, -2.0, 7.0, 1.0, 1.0, 3.0])
    if rank > n:
      with self.assertRaisesRegex(ValueError, 'a rank is from 1 to n'):
        order_statistic(scores, n, rank)
      return
    subsets = itertools.combinations(scores, n)
    expected = np.mean([sorted(some)[rank - 1] for some in subsets])
    self.assertAlmostEqual(float(order_statistic(scores, n, rank)), expected)

  def test_the_largest_is_the_best_of_n(self):
    scores = np.random.default_rng(0).normal(size=(2, 64))
    np.testing.assert_allclose(
      order_statistic(scores, 16, 16),
      best_of_n.expectation(scores, scores, 16),
    )

  def test_a_normal_law_s(self):
    # E[max of 3] of a standard normal law is 3 / (2 √π), its median 0.
    scores = np.random.default_rng(1).normal(size=(1, 200_000))
    self.assertAlmostEqual(
      float(potential_gain(scores, 3)[0]), 1.5 / np.sqrt(np.pi), delta=0.01
    )

  def test_refuses_more_than_the_pool(self):
    with self.assertRaisesRegex(ValueError, 'at most the pool'):
      potential_gain(np.zeros((2, 3)), 4)


if __name__ == '__main__':
  absltest.main()
