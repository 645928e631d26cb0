"""Gaps between the responses of a pair: worked values, shapes and signs."""

import chex
import numpy as np

from rlhf_jax.kernels import pair_gaps

# u = −1 and v = 1.5.
PAIR = np.float32([-1.0]), np.float32([1.5])
LENGTHS = np.float32([10.0]), np.float32([3.0])


class PairGapsTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    gap = self.variant(pair_gaps.gaps)(*PAIR)
    np.testing.assert_allclose(gap, [-2.5])
    mean = self.variant(pair_gaps.mean_gaps)(*PAIR, *LENGTHS)
    np.testing.assert_allclose(mean, [-0.1 - 0.5], rtol=1e-6)

  def test_swapping_a_pair_flips_the_gap(self):
    swapped = PAIR[::-1]
    np.testing.assert_allclose(pair_gaps.gaps(*swapped), [2.5])
    np.testing.assert_allclose(
      pair_gaps.mean_gaps(*swapped, *LENGTHS[::-1]), [0.6], rtol=1e-6
    )

  def test_an_empty_response_counts_as_zero(self):
    empty = np.float32([0.0])
    actual = pair_gaps.mean_gaps(empty, PAIR[1], empty, LENGTHS[1])
    np.testing.assert_allclose(actual, [-0.5], rtol=1e-6)

  def test_refuses_what_would_broadcast(self):
    arrays = [np.ones(4, np.float32)] * 4
    for odd in range(4):
      wrong = list(arrays)
      wrong[odd] = wrong[odd][:1]
      with self.assertRaises(AssertionError):
        pair_gaps.alike(*wrong)
      with self.assertRaises(AssertionError):
        pair_gaps.mean_gaps(*wrong)
    with self.assertRaises(AssertionError):
      pair_gaps.gaps(arrays[0], arrays[1][:1])

  def test_refuses_whole_numbers(self):
    with self.assertRaises(AssertionError):
      pair_gaps.alike(PAIR[0], np.int32([1]))
    one, other = PAIR
    self.assertEqual(pair_gaps.alike(one, other), (one, other))
