"""Log-ratios and their margins: worked values, shapes and signs."""

import chex
import numpy as np

from rlhf_jax.kernels import log_ratios

# S_w = −12, S_l = −10, S_ref = −11 and −11.5: u = −1 and v = 1.5.
PAIR = tuple(np.float32([x]) for x in (-12.0, -10.0, -11.0, -11.5))
LENGTHS = np.float32([10.0]), np.float32([3.0])


class LogRatiosTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    u, v = self.variant(log_ratios.of_each)(*PAIR)
    np.testing.assert_allclose((u[0], v[0]), (-1.0, 1.5))
    margin = self.variant(log_ratios.margins)(*PAIR)
    np.testing.assert_allclose(margin, [-2.5])
    mean = self.variant(log_ratios.mean_margins)(*PAIR, *LENGTHS)
    np.testing.assert_allclose(mean, [-0.1 - 0.5], rtol=1e-6)

  def test_swapping_a_pair_flips_the_margin(self):
    swapped = [PAIR[i] for i in (1, 0, 3, 2)]
    np.testing.assert_allclose(log_ratios.margins(*swapped), [2.5])
    np.testing.assert_allclose(
      log_ratios.mean_margins(*swapped, *LENGTHS[::-1]), [0.6], rtol=1e-6
    )

  def test_an_empty_response_counts_as_zero(self):
    empty = np.float32([0.0])
    pair = (empty, PAIR[1], empty, PAIR[3])
    actual = log_ratios.mean_margins(*pair, empty, LENGTHS[1])
    np.testing.assert_allclose(actual, [-0.5], rtol=1e-6)

  def test_refuses_what_would_broadcast(self):
    pair = [np.zeros(4, np.float32)] * 4
    lengths = [np.ones(4, np.float32)] * 2
    for odd in range(4):
      wrong = list(pair)
      wrong[odd] = wrong[odd][:1]
      with self.assertRaises(AssertionError):
        log_ratios.margins(*wrong)
      with self.assertRaises(AssertionError):
        log_ratios.of_each(*wrong)
      with self.assertRaises(AssertionError):
        log_ratios.mean_margins(*wrong, *lengths)
    with self.assertRaises(AssertionError):
      log_ratios.mean_margins(*pair, lengths[0], lengths[1][:1])
