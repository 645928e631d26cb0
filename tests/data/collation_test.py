"""Batches drawn by hand."""

import numpy as np
from absl.testing import parameterized

from rlhf_jax.data import collation, jsonl, limits
from rlhf_jax.data.encoding import Example
from rlhf_jax.data.packing import Pack
from rlhf_jax.types import Prompt

EOS, PAD = 9, 8
LIMITS = limits.Limits(
  max_prompt_tokens=4, max_response_tokens=2, buckets=(3, 5)
)
NOBODY = Prompt(())


def example(prompt, *responses, index=0, margin=0.0):
  return Example(NOBODY, prompt, responses, index, margin)


def collate(examples, **options):
  return collation.collate(examples, pad_id=PAD, limits=LIMITS, **options)


def check(actual, expected, dtype):
  expected = np.array(expected, dtype)
  np.testing.assert_array_equal(actual, expected)
  assert actual.dtype == expected.dtype, actual.dtype


class CollationTest(parameterized.TestCase):
  def test_prompts_are_padded_on_the_left(self):
    batch = collate([example([1, 2], index=7), example([3, 4, 5], index=2)])
    check(batch.tokens, [[PAD, 1, 2], [3, 4, 5]], np.int32)
    check(batch.attention_mask, [[0, 1, 1], [1, 1, 1]], bool)
    check(batch.index, [7, 2], np.int32)

  def test_demonstrations_are_padded_on_the_right(self):
    batch = collate([example([1], [2, EOS]), example([3, 4], [5, 6])])
    check(batch.tokens, [[1, 2, EOS, PAD, PAD], [3, 4, 5, 6, PAD]], np.int32)
    check(batch.attention_mask, [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], bool)
    check(batch.response_mask, [[0, 1, 1, 0, 0], [0, 0, 1, 1, 0]], bool)
    self.assertIsNone(batch.segment_ids)

  def test_masks_come_from_lengths_and_not_from_ids(self):
    # The padding's id is also a word here, and so is the end's.
    batch = collate([example([PAD, EOS], [PAD])])
    check(batch.attention_mask, [[1, 1, 1]], bool)
    check(batch.response_mask, [[0, 0, 1]], bool)

  def test_comparisons_repeat_the_prompt(self):
    batch = collate(
      [
        example([1], [2, EOS], [EOS], margin=0.5),
        example([3, 4], [EOS], [5, 6], margin=2.0),
      ]
    )
    check(
      batch.tokens,
      [
        [[1, 2, EOS, PAD, PAD], [1, EOS, PAD, PAD, PAD]],
        [[3, 4, EOS, PAD, PAD], [3, 4, 5, 6, PAD]],
      ],
      np.int32,
    )
    check(
      batch.attention_mask,
      [[[1, 1, 1, 0, 0], [1, 1, 0, 0, 0]], [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]],
      bool,
    )
    check(
      batch.response_mask,
      [[[0, 1, 1, 0, 0], [0, 1, 0, 0, 0]], [[0, 0, 1, 0, 0], [0, 0, 1, 1, 0]]],
      bool,
    )
    check(batch.margins, [0.5, 2.0], np.float32)
    check(batch.weight, [1.0, 1.0], np.float32)

  def test_packs_number_their_examples(self):
    packs = [
      Pack((example([1], [2, EOS]), example([3, 4], [5])), 7),
      Pack((example([6], [EOS]),), 7),
    ]
    batch = collate(packs)
    check(
      batch.tokens,
      [[1, 2, EOS, 3, 4, 5, PAD], [6, EOS, PAD, PAD, PAD, PAD, PAD]],
      np.int32,
    )
    check(
      batch.segment_ids,
      [[1, 1, 1, 2, 2, 2, 0], [1, 1, 0, 0, 0, 0, 0]],
      np.int32,
    )
    check(
      batch.attention_mask, [[1, 1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0, 0]], bool
    )
    check(
      batch.response_mask, [[0, 1, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0, 0]], bool
    )

  @parameterized.parameters(
    ([1], (), 3),  # Prompts: buckets 3, then the limit, 4.
    ([1, 2, 3, 4], (), 4),
    ([1], ([2],), 3),  # Demonstrations: 3, 5, then 4 + 2.
    ([1, 2, 3], ([4],), 5),
    ([1, 2, 3, 4], ([5, EOS],), 6),
    ([1], ([2], [3, EOS]), 3),  # Comparisons: by the longest response.
    ([1, 2], ([2], [3, EOS]), 5),
  )
  def test_columns_are_the_smallest_bucket(self, prompt, responses, columns):
    batch = collate([example(prompt, *responses)])
    self.assertEqual(batch.tokens.shape[-1], columns)

  def test_columns_can_be_those_of_a_larger_batch(self):
    batch = collate([example([1], [2])], longest=4)
    self.assertEqual(batch.tokens.shape, (1, 5))

  def test_refuses_lists_of_several_lengths(self):
    examples = [example([1], [2], [3]), example([1], [2], [3], [4], index=6)]
    with self.assertRaisesRegex(
      jsonl.DataError, 'record 6 has 3 responses and record 0 has 2'
    ):
      collate(examples)
