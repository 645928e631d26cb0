"""Means per token and LD-DPO's sums, token by token."""

import chex
import jax
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import length_bias


class MeanLogpsTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    logps, lengths = np.float32([-6.0, -1.0, 0.0]), np.float32([4.0, 1.0, 0.0])
    actual = self.variant(length_bias.mean_logps)(logps, lengths)
    np.testing.assert_allclose(actual, [-1.5, -1.0, 0.0])

  def test_an_empty_response_has_a_finite_gradient(self):
    slope = jax.grad(length_bias.mean_logps, (0, 1))(
      np.float32(0.0), np.float32(0.0)
    )
    chex.assert_tree_all_finite(slope)

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      length_bias.mean_logps(np.zeros(3, np.float32), np.ones(1, np.float32))


def by_definition(token_logps, mask, shared, ld_alpha):
  kept = [
    logp for logp, counts in zip(token_logps, mask, strict=True) if counts
  ]
  return sum(kept[:shared]) + ld_alpha * sum(kept[shared:])


class DiscountedTailTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    random = np.random.default_rng(0)
    self.token_logps = -random.exponential(size=(5, 7)).astype(np.float32)
    first, lengths = (
      np.array([[2], [0], [1], [3], [4]]),
      [[5], [7], [3], [1], [0]],
    )
    columns = np.arange(7)[None]
    self.mask = (columns >= first) & (columns < first + np.array(lengths))
    self.shared = np.array([3, 7, 3, 0, 0])

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(0.0, 0.4, 1.0)
  def test_matches_definition(self, ld_alpha):
    actual = self.variant(length_bias.discounted_tail_logps)(
      self.token_logps, self.mask, self.shared, ld_alpha=ld_alpha
    )
    expected = [
      by_definition(*row, ld_alpha)
      for row in zip(self.token_logps, self.mask, self.shared, strict=True)
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  def test_the_whole_is_the_sum(self):
    actual = self.variant(length_bias.whole_logps)(
      self.token_logps, self.mask, self.shared
    )
    expected = [
      by_definition(*row, 0, 1.0)
      for row in zip(self.token_logps, self.mask, strict=True)
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)

  def test_padding_is_inert(self):
    junk = np.where(self.mask, self.token_logps, np.nan)

    def total(token_logps):
      return length_bias.discounted_tail_logps(
        token_logps, self.mask, self.shared, ld_alpha=0.4
      ).sum()

    clean = jax.value_and_grad(total)(self.token_logps)
    chex.assert_trees_all_equal(clean, jax.value_and_grad(total)(junk))

  def test_refuses_what_would_broadcast(self):
    for wrong in (self.shared[:1], self.shared[:, None]):
      with self.assertRaises(AssertionError):
        length_bias.discounted_tail_logps(
          self.token_logps, self.mask, wrong, ld_alpha=0.5
        )
    with self.assertRaises(AssertionError):
      length_bias.discounted_tail_logps(
        self.token_logps, self.mask[:1], self.shared, ld_alpha=0.5
      )
