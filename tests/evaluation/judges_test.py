"""Judges by scores."""

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import judges


class JudgesTest(parameterized.TestCase):
  @parameterized.parameters(
    (0.0, [1.0, 0.0, 0.5, 1.0]), (0.25, [0.5, 0.0, 0.5, 1.0])
  )
  def test_credits_by_hand(self, tie_margin, expected):
    first, second = [1.25, -1.0, 2.0, 5.0], [1.0, 1.0, 2.0, 1.0]
    actual = judges.credits_from_scores(first, second, tie_margin=tie_margin)
    np.testing.assert_array_equal(actual, expected)

  def test_swapping_the_pair_swaps_the_credit(self):
    first, second = np.random.default_rng(0).normal(size=(2, 40)).round(1)
    np.testing.assert_array_equal(
      judges.credits_from_scores(first, second, tie_margin=0.2),
      1 - judges.credits_from_scores(second, first, tie_margin=0.2),
    )

  def test_no_score_is_no_verdict(self):
    actual = judges.credits_from_scores([np.nan, 1.0], [0.0, np.nan])
    self.assertTrue(np.isnan(actual).all())

  def test_gold_judge_asks_the_reward_about_both(self):
    def reward(prompts, responses):
      return np.array(
        [len(r) - p for p, r in zip(prompts, responses, strict=True)]
      )

    judge = judges.gold_judge(reward, tie_margin=1.0)
    actual = judge([0, 0, 5], ['aaaa', 'a', 'aa'], ['a', 'aaa', 'aaa'])
    np.testing.assert_array_equal(actual, [1.0, 0.0, 0.5])


if __name__ == '__main__':
  absltest.main()
