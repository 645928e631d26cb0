"""Policies over candidates, against sums by hand and against enumeration."""

import itertools

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import tilted


class PolicyTest(parameterized.TestCase):
  def test_by_hand(self):
    # Scores a factor 3 apart in exp(score / β) give chances ¾ and ¼.
    chances = tilted.policy(np.array([[2 * np.log(3.0), 0.0]]), 2.0)
    np.testing.assert_allclose(chances, [[0.75, 0.25]])
    kl = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    np.testing.assert_allclose(tilted.divergence(chances), [kl])

  def test_divergence_of_what_is_never_said(self):
    chances = np.array([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    found = tilted.divergence(chances)
    np.testing.assert_allclose(found, [np.log(3.0), 0.0], atol=1e-12)

  def test_no_policy_at_that_kl_scores_higher(self):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(1, 6))
    beta = tilted.beta_at(scores, 0.4)
    best = tilted.policy(scores, beta)
    for _ in range(200):
      # Any other direction, gone as far.
      others = rng.normal(size=(1, 6))
      other = tilted.policy(others, tilted.beta_at(others, 0.4))
      self.assertLessEqual((other * scores).sum(), (best * scores).sum() + 1e-9)

  @parameterized.parameters(0.01, 0.7, 1.5)
  def test_reaches_the_kl(self, kl):
    scores = np.random.default_rng(1).normal(size=(40, 32))
    reached = tilted.divergence(
      tilted.policy(scores, tilted.beta_at(scores, kl))
    )
    self.assertAlmostEqual(reached.mean(), kl, places=6)
    # β is in the scores' units.
    self.assertAlmostEqual(
      tilted.beta_at(10 * scores, kl) / tilted.beta_at(scores, kl), 10, places=4
    )

  @parameterized.parameters(0.0, 0.7)
  def test_what_is_out_of_reach_is_told(self, kl):
    # The best are two of four: log 2 is 0.69.
    scores = np.array([[1.0, 1.0, 0.0, 0.0]])
    with self.assertRaisesRegex(ValueError, 'candidates lie 0.69 nats'):
      tilted.beta_at(scores, kl)

  def test_missing_scores_are_refused(self):
    with self.assertRaisesRegex(ValueError, 'have to be finite'):
      tilted.policy(np.array([[0.0, np.nan]]), 1.0)


class PairsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    rng = np.random.default_rng(2)
    self.gold = rng.integers(0, 3, (5, 4)).astype(float)
    self.scores = rng.integers(0, 3, (5, 4)).astype(float)
    self.first, self.second = rng.dirichlet(np.ones(4), (2, 5))

  def test_wins_equal_enumeration(self):
    expected = [
      sum(
        p[k] * q[j] * (0.5 if g[k] == g[j] else g[k] > g[j])
        for k, j in itertools.product(range(4), repeat=2)
      )
      for p, q, g in zip(self.first, self.second, self.gold, strict=True)
    ]
    found = tilted.win_rates(self.first, self.second, self.gold)
    np.testing.assert_allclose(found, expected)

  def test_accuracy_equals_enumeration(self):
    right = total = 0.0
    for p, g, s in zip(self.first, self.gold, self.scores, strict=True):
      for k, j in itertools.product(range(4), repeat=2):
        if g[k] > g[j]:
          total += p[k] * p[j]
          right += p[k] * p[j] * (0.5 if s[k] == s[j] else s[k] > s[j])
    found = tilted.pair_accuracy(self.scores, self.gold, self.first)
    self.assertAlmostEqual(found, right / total)


if __name__ == '__main__':
  absltest.main()
