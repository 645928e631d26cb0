"""Batches of rows that are at hand."""

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import data
from rlhf_jax.data import limits
from rlhf_jax.types import Comparison, Message, Prompt

TOKENIZER = data.train_bpe(['what is it? good bad'], vocab_size=280)
ROWS = (
  {'prompt': 'what?', 'chosen': 'good', 'rejected': 'bad'},
  {'prompt': 'what is it?', 'chosen': 'good good', 'rejected': 'bad'},
)
SMALL = limits.Limits(max_prompt_tokens=60, max_response_tokens=24)


def shown(tokens, mask):
  return TOKENIZER.backend.decode(
    np.asarray(tokens)[np.asarray(mask)].tolist(), skip_special_tokens=False
  )


class AtHandTest(parameterized.TestCase):
  def test_pairs(self):
    batch = data.comparisons(ROWS, TOKENIZER, limits=SMALL)
    self.assertEqual(batch.tokens.shape, (2, 2, 84))
    for row, given in enumerate(ROWS):
      for k, name in enumerate(('chosen', 'rejected')):
        response = shown(batch.tokens[row, k], batch.response_mask[row, k])
        self.assertEqual(response, given[name] + TOKENIZER.eos)
        prompt = batch.attention_mask[row, k] & ~batch.response_mask[row, k]
        self.assertIn(given['prompt'], shown(batch.tokens[row, k], prompt))
    np.testing.assert_array_equal(batch.weight, [1.0, 1.0])

  @parameterized.parameters(
    ([{'question': 'q', 'chosen': 'a', 'rejected': 'b'}], 'row 0: '),
    (
      [ROWS[0], ROWS[0] | {'chosen': 3}],
      "row 1: field 'chosen' must be a text",
    ),
    ([{'prompt': 'what?'}], 'comparisons are needed here'),
    ([], 'there are no rows to make a batch of'),
    ([ROWS[0] | {'rejected': 'good'}], 'the responses are the same text'),
  )
  def test_what_compares_nothing_is_refused(self, rows, said):
    with self.assertRaisesRegex(data.DataError, said):
      data.comparisons(rows, TOKENIZER)

  def test_rows_and_records_are_the_same(self):
    records = [
      Comparison(
        Prompt((Message('user', row['prompt']),)),
        (row['chosen'], row['rejected']),
      )
      for row in ROWS
    ]
    ours, theirs = (
      data.comparisons(rows, TOKENIZER) for rows in (ROWS, records)
    )
    np.testing.assert_array_equal(ours.tokens, theirs.tokens)
    # The smallest bucket that holds the longest row.
    longest = int(ours.attention_mask.sum(axis=-1).max())
    self.assertEqual(
      ours.tokens.shape[-1], 2 ** int(np.ceil(np.log2(max(longest, 16))))
    )

  def test_demonstrations_are_the_best_responses(self):
    batch = data.demonstrations(ROWS, TOKENIZER, limits=SMALL)
    self.assertEqual(
      shown(batch.tokens[1], batch.response_mask[1]),
      'good good' + TOKENIZER.eos,
    )

  @parameterized.parameters(
    (['what?', ''], 'a turn of the prompt is empty'),
    ([[{'role': 'usr', 'content': 'x'}]], "must be .*, not 'usr'"),
    ([['what?']], "field 'prompt' item 1 must be an object"),
    ([], 'there are no rows'),
  )
  def test_what_asks_nothing_is_refused(self, asked, said):
    with self.assertRaisesRegex(data.DataError, said):
      data.prompts(asked, TOKENIZER)

  def test_prompts(self):
    messages = [
      {'role': 'user', 'content': 'what?'},
      {'role': 'assistant', 'content': 'good'},
      {'role': 'user', 'content': 'what is it?'},
    ]
    batch = data.prompts(['what?', messages], TOKENIZER, limits=SMALL)
    self.assertEqual(batch.tokens.shape, (2, 60))
    np.testing.assert_array_equal(batch.index, [0, 1])
    self.assertTrue(batch.attention_mask[:, -1].all())
    first, second = (
      shown(batch.tokens[i], batch.attention_mask[i]) for i in (0, 1)
    )
    self.assertIn('what?', first)
    for message in messages:
      self.assertIn(message['content'], second)


if __name__ == '__main__':
  absltest.main()
