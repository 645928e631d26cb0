"""Which pairs are compared, and how a coefficient grows."""

import functools

import chex
import numpy as np
from absl.testing import absltest

from rlhf_jax.kernels import bottleneck


class PairsTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    self.prompt_ids = np.array([7, 3, 7, 9, 3, 3])
    self.mask = np.array([True, True, True, True, False, True])

  @chex.variants(with_jit=True, without_jit=True)
  def test_match_a_loop(self):
    size = len(self.mask)
    expected = np.zeros((3, size, size), bool)
    for i in range(size):
      for j in range(size):
        both = self.mask[i] and self.mask[j]
        expected[0, i, j] = both and i == j
        differ = both and self.prompt_ids[i] != self.prompt_ids[j]
        expected[1, i, j] = differ
        expected[2, i, j] = differ and j == (i + 2) % size
    pairs = [
      self.variant(bottleneck.positive_pairs)(self.mask),
      self.variant(bottleneck.negative_pairs)(self.prompt_ids, self.mask),
      self.variant(functools.partial(bottleneck.rolled_pairs, shift=2))(
        self.prompt_ids, self.mask
      ),
    ]
    for found, wanted in zip(pairs, expected, strict=True):
      np.testing.assert_array_equal(found, wanted)
      self.assertTrue(wanted.any())

  def test_one_prompt_has_no_negatives(self):
    alone = np.array([4]), np.array([True])
    self.assertFalse(bottleneck.negative_pairs(*alone).any())
    self.assertFalse(bottleneck.rolled_pairs(*alone).any())

  def test_refuses_what_is_no_batch(self):
    for ids, mask in (
      (self.prompt_ids[:1], self.mask),
      (self.prompt_ids[:, None], self.mask[:, None]),
      (self.prompt_ids, self.mask.astype(int)),
    ):
      with self.assertRaises(AssertionError):
        bottleneck.negative_pairs(ids, mask)


class ScheduleTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_exponential(self):
    progress = np.float32([0.0, 0.05, 0.105, 0.16, 1.0])
    found = self.variant(bottleneck.exponential)(progress)
    expected = [1e-3, 1e-3, 10**-1.5, 1.0, 1.0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)

  @chex.variants(with_jit=True, without_jit=True)
  def test_linear(self):
    schedule = functools.partial(
      bottleneck.linear, start=0.2, end=1.0, hold=0.1, full=0.5
    )
    progress = np.float32([0.0, 0.1, 0.2, 0.5, 1.0])
    expected = [0.2, 0.2, 0.4, 1.0, 1.0]
    found = self.variant(schedule)(progress)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

  @chex.variants(with_jit=True, without_jit=True)
  def test_constant(self):
    found = self.variant(bottleneck.constant)(np.float32(0.3))
    self.assertEqual((found.shape, float(found)), ((), 1.0))

  @chex.variants(with_jit=True, without_jit=True)
  def test_a_ramp_without_length_is_a_jump(self):
    def both(progress, edge):
      return (
        bottleneck.linear(progress, start=0.2, end=1.0, hold=edge, full=edge),
        bottleneck.exponential(progress, hold=edge, full=edge),
      )

    progress = np.float32([0.0, 0.5, 0.501, 1.0])
    found = self.variant(both)(progress, 0.5)
    expected = ([0.2, 0.2, 1.0, 1.0], [1e-3, 1e-3, 1.0, 1.0])
    for actual, wanted in zip(found, expected, strict=True):
      np.testing.assert_allclose(actual, wanted, rtol=1e-5)


if __name__ == '__main__':
  absltest.main()
