"""Log-ratios per token: worked values, and what a length does not do.

The equations are in preference_table_test.
"""

import chex
import numpy as np

from rlhf_jax.losses import pairwise
from rlhf_jax.losses.pairwise import per_token

MARGINS = np.linspace(-30.0, 30.0, 7, dtype=np.float32)


def log_ratio_pair():
  """The four log-probs of pairs whose margins Δ are MARGINS."""
  reference = np.full_like(MARGINS, -9.0)
  chosen, rejected = reference + 0.75 * MARGINS, reference - 0.25 * MARGINS
  return chosen, rejected, reference, reference


class DpoMeanTest(chex.TestCase):
  def test_is_dpo_where_all_lengths_are_the_same(self):
    pair, length = log_ratio_pair(), np.full(7, 4.0, np.float32)
    actual = per_token.dpo_mean(*pair, length, length, beta=2.0)
    expected = pairwise.dpo(*pair, beta=0.5)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)

  def test_saying_it_twice_changes_nothing(self):
    pair, length = log_ratio_pair(), np.full(7, 4.0, np.float32)
    once = per_token.dpo_mean(*pair, length, length, beta=2.0)
    chosen, rejected, reference_chosen, reference_rejected = pair
    twice = per_token.dpo_mean(
      2.0 * chosen,
      rejected,
      2.0 * reference_chosen,
      reference_rejected,
      2.0 * length,
      length,
      beta=2.0,
    )
    np.testing.assert_allclose(once, twice, rtol=1e-5, atol=1e-6)


class IpoMeanTest(chex.TestCase):
  def test_worked_example(self):
    """S_w = −12, S_l = −10, both reference sums −11; 10 and 20 tokens."""
    pair = (np.float32([x]) for x in (-12.0, -10.0, -11.0, -11.0))
    lengths = np.float32([10.0]), np.float32([20.0])
    actual = per_token.ipo_mean(*pair, *lengths, beta=0.1)
    np.testing.assert_allclose(actual, [26.5225], rtol=1e-6)

  def test_an_empty_response_counts_as_zero(self):
    lengths = np.float32([0.0]), np.float32([4.0])
    chosen, rejected = np.float32([0.0]), np.float32([-8.0])
    pair = (chosen, rejected, chosen, rejected + 2.0)
    actual = per_token.ipo_mean(*pair, *lengths, beta=0.5)
    np.testing.assert_allclose(actual, [(0.5 - 1.0) ** 2], rtol=1e-6)
