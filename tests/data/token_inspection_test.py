"""What batches would pad, by hand, and what the model sees of an example."""

import numpy as np
from absl.testing import absltest

from rlhf_jax.data import jsonl, templates, token_inspection, tokens
from rlhf_jax.data.batches import Batches
from rlhf_jax.data.encoding import Example, encode_all
from rlhf_jax.data.limits import Limits
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt, Rated

LIMITS = Limits(max_prompt_tokens=4, max_response_tokens=12, buckets=(2, 8))
RECORD = Demonstration(Prompt(()), '')
ASKED = Prompt((Message('user', 'hé'),))
# Every byte is a token: 'é' is two.
TOKENIZER = tokens.train_bpe(
  [], vocab_size=261, chat_template=templates.CHAT.jinja
)


def examples(*sizes, record=RECORD):
  return [
    Example(record, [i], ([i] * (size - 1),), i) for i, size in enumerate(sizes)
  ]


def padding(given, row_length=16):
  return token_inspection.padding(
    given, batch_size=2, pad_id=0, limits=LIMITS, row_length=row_length
  )


class PaddingTest(absltest.TestCase):
  def test_batches_of_an_order(self):
    mixed = Batches(
      examples(2, 2, 8, 8),
      batch_size=2,
      seed=0,
      pad_id=0,
      limits=LIMITS,
      order=lambda epoch: np.array([0, 2, 1, 3]),
    )
    # Two batches of a row of 2 tokens and one of 8, in 8 columns each.
    self.assertAlmostEqual(token_inspection.of_batches(mixed), 12 / 32)

  def test_by_how_they_are_made(self):
    found = padding(examples(2, 2, 8, 8))
    self.assertEqual(found.of_like_length, 0.0)
    # Both of 8 share a row, and both of 2 another.
    self.assertAlmostEqual(found.packed, 12 / 32)
    self.assertIn(round(found.at_random, 6), (0.0, 0.375))
    self.assertEqual(padding(examples(2, 2, 8, 8), row_length=10).packed, 0.0)

  def test_a_demonstration_that_is_longer_than_a_row(self):
    with self.assertRaisesRegex(jsonl.DataError, 'has 8 tokens and a row'):
      padding(examples(2, 8), row_length=7)

  def test_weights_are_not_packed(self):
    weighted = examples(2, 8, record=RECORD._replace(weight=2.0))
    self.assertIsNone(padding(weighted).packed)

  def test_pairs_are_not_packed_nor_prompts_sorted(self):
    pair = Comparison(Prompt(()), ('a', 'b'))
    pairs = [Example(pair, [1], ([1], [1, 1, 1]), 0)] * 2
    found = padding(pairs)
    # Rows of 2 and of 4 tokens, in 8 columns.
    self.assertAlmostEqual(found.of_like_length, 20 / 32)
    self.assertIsNone(found.packed)
    asked = [
      Example(Prompt(()), [1], (), 0),
      Example(Prompt(()), [1] * 3, (), 1),
    ]
    found = padding(asked)
    self.assertAlmostEqual(found.at_random, 4 / 8)  # Of the 4 that are most.
    self.assertIsNone(found.of_like_length)


class RowsTest(absltest.TestCase):
  def seen(self, record):
    (example,), _ = encode_all([record], TOKENIZER, templates.CHAT, LIMITS)
    return [
      [(run.pieces, run.learnt) for run in row]
      for row in token_inspection.rows(example, TOKENIZER)
    ]

  def test_a_demonstration_is_learnt_from_its_response_on(self):
    limits = Limits(max_prompt_tokens=9, max_response_tokens=9)
    record = Demonstration(ASKED, 'ok')
    (example,), _ = encode_all([record], TOKENIZER, templates.CHAT, limits)
    (row,) = token_inspection.rows(example, TOKENIZER)
    self.assertEqual(
      row,
      (
        (('<|user|>', 'h', 'é', '<|assistant|>'), False),
        (('o', 'k', '<|eos|>'), True),
      ),
    )

  def test_pairs_have_a_row_for_each_response(self):
    record = Comparison(Prompt((Message('user', 'x'),)), ('yes', 'n'))
    asked = (('<|user|>', 'x', '<|assistant|>'), False)
    self.assertEqual(
      self.seen(record),
      [
        [asked, (('y', 'e', 's', '<|eos|>'), True)],
        [asked, (('n', '<|eos|>'), True)],
      ],
    )

  def test_of_prompts_and_ratings_no_token_is_learnt(self):
    prompt = Prompt((Message('user', 'x'),))
    asked = ('<|user|>', 'x', '<|assistant|>')
    self.assertEqual(self.seen(prompt), [[(asked, False)]])
    rated = Rated(prompt, 'n', (1.0,))
    self.assertEqual(self.seen(rated), [[((*asked, 'n', '<|eos|>'), False)]])

  def test_bytes_that_are_no_letter_stand_alone(self):
    e, acute = TOKENIZER.encode('é')
    (a,) = TOKENIZER.encode('a')
    found = token_inspection.pieces([e, a, e, acute], TOKENIZER)
    self.assertEqual(found[1:], ['a', 'é'])
    self.assertLen(found, 3)


if __name__ == '__main__':
  absltest.main()
