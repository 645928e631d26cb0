"""Records to ids by hand, in a vocabulary whose word i has id i."""

from absl.testing import absltest

from rlhf_jax.data import encoding, jsonl, limits, templates, tokens
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt

TOKENIZER = tokens.word_level(list('abcdefgh'))
EOS = 9


def prompt(text, where=''):
  return Prompt((Message('user', text),), where=where)


def encode(records, **options):
  settings = {'max_prompt_tokens': 4, 'max_response_tokens': 3} | options
  return encoding.encode(
    records, TOKENIZER, templates.PLAIN, limits.Limits(**settings)
  )


class EncodingTest(absltest.TestCase):
  def test_prompts_have_no_responses(self):
    said = prompt('a b c')
    (example,), counts = encode([said])
    self.assertEqual(example, (said, [0, 1, 2], (), 0, 0.0))
    self.assertEqual(example.length, 3)
    self.assertEqual(counts, (0, 0, 0))

  def test_a_response_is_closed(self):
    (example,), _ = encode([Demonstration(prompt('a'), 'b c')])
    self.assertEqual(example.prompt_ids, [0])
    self.assertEqual(example.response_ids, ([1, 2, EOS],))
    self.assertEqual(example.length, 4)

  def test_an_empty_response_is_its_end_alone(self):
    (example,), _ = encode([Demonstration(prompt('a'), '')])
    self.assertEqual(example.response_ids, ([EOS],))

  def test_comparisons_keep_their_order_and_margin(self):
    record = Comparison(prompt('a b'), ('c', 'd e', ''), 1.5)
    (example,), _ = encode([record])
    self.assertEqual(example.response_ids, ([2, EOS], [3, 4, EOS], [EOS]))
    self.assertEqual(example.margin, 1.5)
    self.assertEqual(example.length, 5)

  def test_a_long_response_is_cut_and_not_closed(self):
    records = [
      Comparison(prompt('a'), ('b c', 'd e f')),  # Three with its end: fits.
      Demonstration(prompt('a'), 'b c d e'),
    ]
    (pair, demonstration), counts = encode(records)
    self.assertEqual(pair.response_ids, ([1, 2, EOS], [3, 4, 5]))
    self.assertEqual(demonstration.response_ids, ([1, 2, 3],))
    self.assertEqual(counts.truncated_responses, 2)

  def test_a_long_prompt_is_refused_by_default(self):
    records = [prompt('a b c d'), prompt('a b c d e', 'f.jsonl:2')]
    with self.assertRaisesRegex(
      jsonl.DataError, 'f.jsonl:2: the prompt has 5 tokens and the limit is 4'
    ):
      encode(records)
    with self.assertRaisesRegex(jsonl.DataError, r"record 0 \('a b c d e'\)"):
      encode([prompt('a b c d e')])

  def test_a_dropped_record_leaves_its_number_free(self):
    records = [prompt('a'), prompt('a b c d e'), prompt('b')]
    examples, counts = encode(records, overlong=limits.drop)
    self.assertEqual([example.index for example in examples], [0, 2])
    self.assertEqual(
      counts._asdict(),
      {'truncated_prompts': 0, 'dropped_prompts': 1, 'truncated_responses': 0},
    )

  def test_cut_prompts_are_counted(self):
    records = [prompt('a b c d e f'), prompt('a'), prompt('b c d e f')]
    ends, counts = encode(records, overlong=limits.keep_end)
    starts, _ = encode(records, overlong=limits.keep_start)
    self.assertEqual(
      [e.prompt_ids for e in ends], [[2, 3, 4, 5], [0], [2, 3, 4, 5]]
    )
    self.assertEqual(
      [e.prompt_ids for e in starts], [[0, 1, 2, 3], [0], [1, 2, 3, 4]]
    )
    self.assertEqual(counts, (2, 0, 0))

  def test_a_dropped_record_cuts_no_responses(self):
    record = Demonstration(prompt('a b c d e'), 'a b c d')
    examples, counts = encode([record], overlong=limits.drop)
    self.assertEmpty(examples)
    self.assertEqual(counts.truncated_responses, 0)

  def test_a_prompt_without_tokens_is_refused(self):
    with self.assertRaisesRegex(jsonl.DataError, 'f:1: the prompt has no tok'):
      encode([prompt(' ', 'f:1')])
