"""Batches drawn by hand."""

import numpy as np
from absl.testing import parameterized

from rlhf_jax.data import collation, jsonl, limits
from rlhf_jax.data.batches import Batches
from rlhf_jax.data.encoding import Example
from rlhf_jax.data.packing import Pack, pack
from rlhf_jax.types import (
  Comparison,
  Comparisons,
  Demonstration,
  Prompt,
  Prompts,
  Rated,
)

EOS, PAD = 9, 8
LIMITS = limits.Limits(
  max_prompt_tokens=4, max_response_tokens=2, buckets=(3, 5)
)
NOBODY = Prompt(())


def example(prompt, *responses, index=0):
  """Of a prompt, or of a demonstration; what was said does not matter here."""
  record = Demonstration(NOBODY, '') if responses else NOBODY
  return Example(record, prompt, responses, index)


def ranked(prompt, *responses, index=0, target=None, reference=None, **of):
  """Of a comparison."""
  record = Comparison(NOBODY, ('',) * len(responses), **of)
  return Example(record, prompt, responses, index, target, reference)


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
        ranked([1], [2, EOS], [EOS], margin=0.5),
        ranked([3, 4], [EOS], [5, 6], margin=2.0, weight=2.5),
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
    check(batch.weight, [1.0, 2.5], np.float32)
    check(batch.candidate_mask, [[1, 1], [1, 1]], bool)
    self.assertIsNone(batch.scores)
    self.assertIsNone(batch.targets)
    self.assertIsNone(batch.reference_logps)

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
  )
  def test_columns_are_the_smallest_bucket(self, prompt, responses, columns):
    batch = collate([example(prompt, *responses)])
    self.assertEqual(batch.tokens.shape[-1], columns)

  @parameterized.parameters(
    ([1], None, 3),  # By the longest response, be it the target.
    ([1, 2], None, 5),
    ([1], [3, 4], 3),
    ([1], [3, 4, 5], 5),
  )
  def test_columns_hold_the_longest_response(self, prompt, target, columns):
    batch = collate([ranked(prompt, [2], [3, EOS], target=target)])
    self.assertEqual(batch.tokens.shape[-1], columns)

  def test_columns_can_be_those_of_a_larger_batch(self):
    batch = collate([example([1], [2])], longest=4)
    self.assertEqual(batch.tokens.shape, (1, 5))


class ListsTest(parameterized.TestCase):
  def test_shorter_lists_end_in_empty_rows(self):
    batch = collate([ranked([1], [2], [3], [4]), ranked([5, 6], [7], index=6)])
    check(batch.candidate_mask, [[1, 1, 1], [1, 0, 0]], bool)
    check(
      batch.tokens,
      [[[1, 2, PAD], [1, 3, PAD], [1, 4, PAD]],
       [[5, 6, 7], [PAD] * 3, [PAD] * 3]],
      np.int32,
    )  # fmt: skip
    check(
      batch.attention_mask,
      [[[1, 1, 0]] * 3, [[1, 1, 1], [0, 0, 0], [0, 0, 0]]],
      bool,
    )
    check(
      batch.response_mask,
      [[[0, 1, 0]] * 3, [[0, 0, 1], [0, 0, 0], [0, 0, 0]]],
      bool,
    )

  def test_lists_can_be_as_wide_as_those_of_a_larger_batch(self):
    batch = collate([ranked([1], [2], scores=(5.0,))], candidates=3)
    self.assertEqual(batch.tokens.shape, (1, 3, 3))
    check(batch.candidate_mask, [[1, 0, 0]], bool)
    check(batch.scores, [[5.0, 0.0, 0.0]], np.float32)

  def test_a_single_response_is_a_list_too(self):
    batch = collate([ranked([1], [2, EOS]), ranked([3], [4], margin=1.5)])
    self.assertIsInstance(batch, Comparisons)
    self.assertEqual(batch.tokens.shape, (2, 1, 3))
    check(batch.candidate_mask, [[1], [1]], bool)
    check(batch.margins, [0.0, 1.5], np.float32)

  def test_scores_and_reference_logps_have_their_responses_places(self):
    batch = collate(
      [
        ranked([1], [2], [3], [4], scores=(3.0, 1.0, -2.0),
               reference=(-0.5, -1.5, -2.5)),
        ranked([1], [2], [3], scores=(7.0, 7.0), reference=(-4.0, -3.0)),
      ]
    )  # fmt: skip
    check(batch.scores, [[3.0, 1.0, -2.0], [7.0, 7.0, 0.0]], np.float32)
    check(
      batch.reference_logps, [[-0.5, -1.5, -2.5], [-4.0, -3.0, 0.0]], np.float32
    )

  def test_targets_are_demonstrations_of_the_same_columns(self):
    batch = collate(
      [
        ranked([1], [2, EOS], [EOS], target=[5, 6]),
        ranked([3, 4], [EOS], [5, 6], target=[EOS]),
      ]
    )
    check(
      batch.targets.tokens, [[1, 5, 6, PAD, PAD], [3, 4, EOS, PAD, PAD]],
      np.int32,
    )  # fmt: skip
    check(
      batch.targets.attention_mask, [[1, 1, 1, 0, 0], [1, 1, 1, 0, 0]], bool
    )
    check(batch.targets.response_mask, [[0, 1, 1, 0, 0], [0, 0, 1, 0, 0]], bool)
    self.assertEqual(batch.tokens.shape, (2, 2, 5))

  @parameterized.parameters(
    ('scores', {'scores': (1.0, 0.0)}),
    ('a target', {'target': [7]}),
    ('reference log-probs', {'reference': (-1.0, -2.0)}),
  )
  def test_all_have_it_or_none(self, what, of):
    have = ranked([1], [2], [3], index=4, **of)
    lacks = ranked([1], [2], [3], index=6)
    said = f'record 4 has {what} and record 6 has not; give all of a dataset'
    for examples in ([have, have, lacks], [lacks, lacks, have]):
      with self.assertRaisesRegex(jsonl.DataError, said):
        collate(examples)
    collate([have, have])

  def test_what_is_asked_can_be_taken_from_a_list(self):
    told = ranked([1, 2], [3], [4, 5], index=3, target=[6, 7, 8])
    asked = told._replace(held=told.prompt, response_ids=(), target_ids=None)
    batch = collate([asked, example([9], index=1)])
    self.assertIsInstance(batch, Prompts)
    check(batch.tokens, [[PAD, 1, 2], [PAD, PAD, 9]], np.int32)
    check(batch.index, [3, 1], np.int32)

  def test_ratings_and_where_there_are_some(self):
    def rated(prompt, response, *ratings, index=0):
      return Example(Rated(NOBODY, '', ratings), prompt, (response,), index)

    batch = collate(
      [rated([1], [2, EOS], 4.0, None), rated([3, 4], [EOS], None, 1.5)]
    )
    check(batch.tokens, [[1, 2, EOS], [3, 4, EOS]], np.int32)
    check(batch.attention_mask, np.ones((2, 3)), bool)
    check(batch.rating_mask, [[1, 0], [0, 1]], bool)
    check(batch.ratings[batch.rating_mask], [4.0, 1.5], np.float32)
    with self.assertRaisesRegex(
      jsonl.DataError, 'record 6 has 1 ratings and record 2 has 2; give each'
    ):
      collate(
        [rated([1], [EOS], 1.0, 2.0, index=2), rated([1], [EOS], 1.0, index=6)]
      )

  def test_weights_where_the_dataset_has_some(self):
    heavy = example([1], [2])
    heavy = heavy._replace(held=heavy.record._replace(weight=2.5))
    rows = [heavy, example([1], [2])]
    check(collate(rows, weighted=True).weight, [2.5, 1.0], np.float32)
    self.assertIsNone(collate(rows).weight)

    def batches(examples):
      return Batches(examples, batch_size=1, seed=0, pad_id=PAD, limits=LIMITS)

    # One heavy record gives all batches weights: they are of one kind.
    for step in range(4):
      self.assertIsNotNone(batches(rows)[step].weight)
      self.assertIsNone(batches(rows[1:])[step].weight)

  def test_packed_rows_have_no_weights(self):
    heavy = example([1], [2], index=3)
    heavy = heavy._replace(held=heavy.record._replace(weight=2.5))
    with self.assertRaisesRegex(
      jsonl.DataError, 'record 3 has weight 2.5, and'
    ):
      pack([example([1], [2]), heavy], 5)
