"""Spliced rows against lists put together one by one."""

import functools

import chex
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import splicing


def splice_by_definition(head, head_mask, tail, tail_mask, width):
  first, second = list(head[head_mask]), list(tail[tail_mask])
  row, is_tail = first + second, [False] * len(first) + [True] * len(second)
  row, is_tail = row[:width], is_tail[:width]
  padding = width - len(row)
  return (
    row + [0] * padding,
    [True] * len(row) + [False] * padding,
    is_tail + [False] * padding,
  )


def sample(seed=0, rows=6):
  """Tokens from 1 on, and masks with gaps; some heads and tails are empty."""
  rng = np.random.default_rng(seed)
  head = rng.integers(1, 50, (rows, 5)).astype(np.int32)
  tail = rng.integers(50, 99, (rows, 4)).astype(np.int32)
  head_mask = rng.uniform(size=head.shape) < 0.6
  tail_mask = rng.uniform(size=tail.shape) < 0.6
  head_mask[1], tail_mask[2] = False, False
  head_mask[3] = tail_mask[3] = False
  head_mask[4] = tail_mask[4] = True
  return head, head_mask, tail, tail_mask


class SpliceTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(1, 3, 5, 6, 9, 12)
  def test_matches_definition(self, width):
    arrays = sample()
    splice = self.variant(functools.partial(splicing.splice, width=width))
    actual = splice(*arrays)
    expected = [
      splice_by_definition(*row, width) for row in zip(*arrays, strict=True)
    ]
    for ours, theirs in zip(actual, zip(*expected, strict=True), strict=True):
      np.testing.assert_array_equal(ours, theirs)
    chex.assert_type(actual, [np.int32, bool, bool])

  def test_what_is_masked_is_inert(self):
    head, head_mask, tail, tail_mask = sample()
    clean = splicing.splice(head, head_mask, tail, tail_mask, 9)
    dirty = splicing.splice(
      np.where(head_mask, head, -7),
      head_mask,
      np.where(tail_mask, tail, 10**6),
      tail_mask,
      9,
    )
    chex.assert_trees_all_equal(clean, dirty)

  def test_prompts_meet_the_responses_of_others(self):
    # Prompts end where responses begin, at column 3.
    tokens = np.int32([[0, 0, 1, 11, 12], [0, 2, 3, 21, 0], [4, 5, 6, 31, 32]])
    attention = tokens > 0
    response = attention & (np.arange(5) >= 3)[None]
    spliced, real, is_response = splicing.splice(
      tokens,
      attention & ~response,
      np.roll(tokens, -1, axis=0),
      np.roll(response, -1, axis=0),
      5,
    )
    expected = [[1, 21, 0, 0, 0], [2, 3, 31, 32, 0], [4, 5, 6, 11, 12]]
    np.testing.assert_array_equal(spliced, expected)
    np.testing.assert_array_equal(real, np.array(expected) > 0)
    np.testing.assert_array_equal(is_response, np.array(expected) > 10)

  def test_a_third_part_follows_the_second(self):
    head, head_mask, tail, tail_mask = sample()
    two, real, _ = splicing.splice(head, head_mask, tail, tail_mask, 9)
    three, _, is_third = splicing.splice(two, real, tail, tail_mask, 13)
    for row in range(len(head)):
      parts = head[row][head_mask[row]], *[tail[row][tail_mask[row]]] * 2
      whole = np.concatenate(parts)
      np.testing.assert_array_equal(three[row, : len(whole)], whole)
      np.testing.assert_array_equal(three[row][is_third[row]], parts[2])

  def test_refuses_what_would_broadcast(self):
    head, head_mask, tail, tail_mask = sample()
    with self.assertRaises(AssertionError):
      splicing.splice(head, head_mask[:1], tail, tail_mask, 9)
    with self.assertRaises(AssertionError):
      splicing.splice(head, head_mask, tail[:1], tail_mask[:1], 9)
