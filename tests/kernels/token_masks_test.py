"""Token masks against numpy's quantile and worked divergences."""

import functools

import chex
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import token_masks

MASK = np.array([[True, True, True, True], [True, True, False, False]])


class HighEntropyTest(chex.TestCase):
  entropies = np.array([[0.1, 2.0, 0.3, 1.0], [0.7, 1.5, 9.0, 9.0]], np.float32)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(0.05, 0.2, 0.5, 0.75, 1.0)
  def test_matches_the_quantile_of_the_tokens(self, share):
    keep = functools.partial(token_masks.high_entropy, share=share)
    actual = self.variant(keep)(self.entropies, MASK)
    least = np.quantile(self.entropies[MASK], np.float32(1.0 - share))
    np.testing.assert_array_equal(
      actual, MASK & (self.entropies >= least.astype(np.float32))
    )

  def test_worked_example(self):
    actual = token_masks.high_entropy(self.entropies, MASK, share=0.5)
    # Of 0.1, 0.3, 0.7, 1, 1.5 and 2 the median is 0.85.
    np.testing.assert_array_equal(
      actual, [[False, True, False, True], [False, True, False, False]]
    )

  def test_padding_is_inert(self):
    junk = np.where(MASK, self.entropies, np.nan).astype(np.float32)
    chex.assert_trees_all_equal(
      token_masks.high_entropy(self.entropies, MASK, share=0.3),
      token_masks.high_entropy(junk, MASK, share=0.3),
    )

  def test_without_tokens_nothing_is_kept(self):
    none = np.zeros_like(MASK)
    actual = token_masks.high_entropy(self.entropies, none, share=0.3)
    self.assertFalse(np.any(actual))

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      token_masks.high_entropy(self.entropies, MASK[:1], share=0.3)


class NotStaleTest(chex.TestCase):
  # Mean log(π_old / π) of 0.5 and, over two tokens, of 0.25.
  logps = np.array(
    [[-1.0, -2.0, -1.0, -1.0], [-1.0, -1.0, -9.0, -9.0]], np.float32
  )
  old_logps = np.array(
    [[-0.5, -0.5, -1.0, -1.0], [-0.5, -1.0, -1.0, -1.0]], np.float32
  )
  advantages = np.array([[-1.0, 1.0, 0.0, -1.0], [-1.0] * 4], np.float32)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(
    (0.1, [[False, True, True, False], [False] * 4]),
    (0.3, [[False, True, True, False], [True] * 4]),
    (0.6, [[True] * 4, [True] * 4]),
  )
  def test_worked_example(self, threshold, expected):
    keep = functools.partial(token_masks.not_stale, threshold=threshold)
    actual = self.variant(keep)(
      self.logps, self.old_logps, self.advantages, MASK
    )
    np.testing.assert_array_equal(actual, expected)

  def test_a_response_that_became_likelier_is_kept(self):
    actual = token_masks.not_stale(
      self.old_logps, self.logps, self.advantages, MASK, threshold=0.01
    )
    np.testing.assert_array_equal(actual, True)

  def test_padding_is_inert(self):
    junk = np.where(MASK, self.logps, np.nan).astype(np.float32)
    clean, dirty = (
      token_masks.not_stale(
        x, self.old_logps, self.advantages, MASK, threshold=0.3
      )
      for x in (self.logps, junk)
    )
    chex.assert_trees_all_equal(clean, dirty)

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      token_masks.not_stale(
        self.logps, self.old_logps, self.advantages[:, :1], MASK, threshold=0.3
      )
