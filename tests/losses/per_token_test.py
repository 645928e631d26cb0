"""Log-ratios per token: worked values, and what a length does not do.

The equations are in preference_table_test.
"""

import chex
import numpy as np

from rlhf_jax.losses import pairwise
from rlhf_jax.losses.pairwise import per_token

GAPS = np.linspace(-30.0, 30.0, 7, dtype=np.float32)
PAIR = 0.75 * GAPS, -0.25 * GAPS  # Log-ratios whose Δ are GAPS.
LENGTH = np.full(7, 4.0, np.float32)


class DpoMeanTest(chex.TestCase):
  def test_is_dpo_where_all_lengths_are_the_same(self):
    actual = per_token.dpo_mean(*PAIR, LENGTH, LENGTH, beta=2.0)
    reference = np.full_like(GAPS, -9.0)
    policy = [reference + ratios for ratios in PAIR]
    expected = pairwise.dpo(*policy, reference, reference, beta=0.5)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)

  def test_saying_it_twice_changes_nothing(self):
    once = per_token.dpo_mean(*PAIR, LENGTH, LENGTH, beta=2.0)
    chosen, rejected = PAIR
    twice = per_token.dpo_mean(
      2.0 * chosen, rejected, 2.0 * LENGTH, LENGTH, beta=2.0
    )
    np.testing.assert_allclose(once, twice, rtol=1e-5, atol=1e-6)


class IpoMeanTest(chex.TestCase):
  def test_worked_example(self):
    """S_w = −12, S_l = −10, both reference sums −11; 10 and 20 tokens."""
    pair = np.float32([-12.0 + 11.0]), np.float32([-10.0 + 11.0])
    lengths = np.float32([10.0]), np.float32([20.0])
    actual = per_token.ipo_mean(*pair, *lengths, beta=0.1)
    np.testing.assert_allclose(actual, [26.5225], rtol=1e-6)

  def test_an_empty_response_counts_as_zero(self):
    lengths = np.float32([0.0]), np.float32([4.0])
    pair = np.float32([0.0]), np.float32([-2.0])
    actual = per_token.ipo_mean(*pair, *lengths, beta=0.5)
    np.testing.assert_allclose(actual, [(0.5 - 1.0) ** 2], rtol=1e-6)
