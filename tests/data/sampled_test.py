"""A policy's samples as ids and as batches, and the weights of comparisons."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.data import collation, encoding, jsonl, limits, templates, tokens
from rlhf_jax.data.batches import Batches
from rlhf_jax.types import Comparison, Message, Prompt, Sampled, Samples

TOKENIZER = tokens.word_level(list('abcdefgh'))
EOS, PAD = 9, 8
LIMITS = limits.Limits(max_prompt_tokens=2, max_response_tokens=3)


def prompt(text):
  return Prompt((Message('user', text),))


def sampled(asked, *responses):
  count = len(responses)
  return Sampled(
    prompt(asked),
    responses,
    ended=(True,) * count,
    lengths=tuple(len(text.split()) + 1 for text in responses),
    logps=(-1.0,) * count,
    scores=(0.5,) * count,
  )


def encode(*records):
  return encoding.encode(records, TOKENIZER, templates.PLAIN, LIMITS)


def collate(*records, **options):
  examples, _ = encode(*records)
  return collation.collate(examples, pad_id=PAD, limits=LIMITS, **options)


class SampledTest(absltest.TestCase):
  def test_every_sample_is_a_response_equal_ones_too(self):
    record = sampled('a b', 'c', 'd e', 'c')
    (example,), counts = encode(record)
    self.assertEqual(example.prompt_ids, [0, 1])
    self.assertEqual(example.response_ids, ([2, EOS], [3, 4, EOS], [2, EOS]))
    self.assertIs(example.record, record)
    self.assertEqual(example.prompt, record.prompt)
    self.assertEqual(example.length, 5)
    self.assertIsNone(example.target_ids)
    self.assertEqual(counts, encoding.Counts())

  def test_one_that_the_limit_cut_has_no_end(self):
    # Three tokens are the limit: the policy never said that it ends.
    cut = sampled('a', 'b c d', 'b c')._replace(ended=(False, True))
    (example,), _ = encode(cut)
    self.assertEqual(example.response_ids, ([1, 2, 3], [1, 2, EOS]))

  def test_a_batch_of_lists_of_any_lengths(self):
    batch = collate(sampled('a b', 'c', 'd e', 'c'), sampled('f', 'g'))
    self.assertIsInstance(batch, Samples)
    P = PAD
    np.testing.assert_array_equal(
      batch.tokens,
      [
        [[0, 1, 2, EOS, P], [0, 1, 3, 4, EOS], [0, 1, 2, EOS, P]],
        [[5, 6, EOS, P, P], [P] * 5, [P] * 5],
      ],
    )
    self.assertEqual(batch.tokens.dtype, np.int32)
    np.testing.assert_array_equal(batch.attention_mask, batch.tokens != P)
    np.testing.assert_array_equal(
      batch.response_mask,
      batch.attention_mask & (np.arange(5) >= np.array([2, 1])[:, None, None]),
    )
    np.testing.assert_array_equal(
      batch.candidate_mask, [[True] * 3, [True, False, False]]
    )

  def test_room_for_more_than_there_are(self):
    batch = collate(sampled('a', 'b', 'c'), candidates=4)
    self.assertEqual(batch.tokens.shape[:2], (1, 4))
    np.testing.assert_array_equal(
      batch.candidate_mask, [[True, True, False, False]]
    )

  def test_all_batches_of_a_dataset_have_one_shape(self):
    examples, _ = encode(
      sampled('a', 'b'), sampled('c', 'd', 'e', 'f'), sampled('g', 'h', 'a')
    )
    batches = Batches(examples, batch_size=1, seed=0, pad_id=PAD, limits=LIMITS)
    shapes = {batches[step].tokens.shape for step in range(3)}
    self.assertEqual({shape[:2] for shape in shapes}, {(1, 3)})


class WeightTest(parameterized.TestCase):
  def pairs(self, *weights):
    return [
      Comparison(prompt('a'), ('b', 'c'), weight=weight) for weight in weights
    ]

  def test_one_unless_told(self):
    self.assertEqual(Comparison(prompt('a'), ('b', 'c')).weight, 1.0)

  def test_a_comparison_counts_as_told(self):
    batch = collate(*self.pairs(0.25, 1.0, 0.0, 3.0))
    np.testing.assert_array_equal(batch.weight, [0.25, 1.0, 0.0, 3.0])
    self.assertEqual(batch.weight.dtype, np.float32)
    np.testing.assert_array_equal(batch.pair_weight, batch.weight)

  def test_without_a_second_response_there_is_nothing_to_weigh(self):
    lone = Comparison(prompt('a'), ('b',), weight=2.0)
    batch = collate(*self.pairs(0.5), lone)
    np.testing.assert_array_equal(batch.weight, [0.5, 2.0])
    np.testing.assert_array_equal(batch.pair_weight, [0.5, 0.0])

  @parameterized.parameters(-0.5, math.nan, math.inf, -math.inf)
  def test_a_weight_that_is_none_is_refused(self, weight):
    with self.assertRaisesRegex(
      jsonl.DataError, f'weight is {weight}; give a finite number of 0 or more'
    ):
      encode(*self.pairs(1.0, weight))


if __name__ == '__main__':
  absltest.main()
