"""Records to ids by hand, in a vocabulary whose word i has id i."""

import collections
import random
import re
from unittest import mock

from absl.testing import absltest, parameterized

from rlhf_jax.data import (
  ahead,
  chat_templates,
  encoding,
  jsonl,
  limits,
  templates,
  tokens,
)
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Message,
  Prompt,
  Rated,
  Response,
  Sampled,
)

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
    self.assertEqual(example, (said, [0, 1, 2], (), 0, None, None, None))
    self.assertEqual(example.length, 3)
    self.assertEqual(counts, encoding.Counts())

  def test_a_response_is_closed(self):
    (example,), _ = encode([Demonstration(prompt('a'), 'b c')])
    self.assertEqual(example.prompt_ids, [0])
    self.assertEqual(example.response_ids, ([1, 2, EOS],))
    self.assertEqual(example.length, 4)

  def test_an_empty_response_is_its_end_alone(self):
    examples, _ = encoding.encode_all(
      [Demonstration(prompt('a'), '')],
      TOKENIZER,
      templates.PLAIN,
      limits.Limits(max_prompt_tokens=1, max_response_tokens=1),
    )
    self.assertEqual([e.response_ids for e in examples], [([EOS],)])

  def test_comparisons_keep_their_order_and_margin(self):
    record = Comparison(prompt('a b'), ('c', 'd e', ''), 1.5)
    (example,), _ = encode([record])
    self.assertEqual(example.response_ids, ([2, EOS], [3, 4, EOS], [EOS]))
    self.assertIs(example.record, record)
    self.assertEqual(example.prompt, record.prompt)
    self.assertIsNone(example.target_ids)
    self.assertEqual(example.length, 5)

  def test_a_condition_is_read_right_before_the_response(self):
    said = prompt('a b')._replace(condition='c')
    (asked, told), _ = encode([said, Demonstration(said, 'd')])
    self.assertEqual(asked.prompt_ids, [0, 1, 2])
    self.assertEqual(told.prompt_ids, [0, 1, 2])
    self.assertEqual(told.response_ids, ([3, EOS],))
    template = templates.MarkerTemplate(assistant=('f', 'g'))
    parts = template.parts(said, TOKENIZER)
    self.assertEqual(parts.tail, [5, 2])
    self.assertEqual(template.render(said, 'd'), 'a bfcd')

  def test_a_condition_is_not_cut(self):
    said = prompt('a b c d e')._replace(condition='f g')
    (example,), _ = encode([said], overlong=limits.keep_end)
    self.assertEqual(example.prompt_ids, [3, 4, 5, 6])

  def test_a_rated_response_is_a_response(self):
    (example,), _ = encode([Rated(prompt('a'), 'b', (1.0, None))])
    self.assertEqual(example.prompt_ids, [0])
    self.assertEqual(example.response_ids, ([1, EOS],))

  def test_a_margin_that_is_none_is_refused(self):
    for margin in (-1.0, float('nan'), float('inf')):
      with self.assertRaisesRegex(jsonl.DataError, f'margin is {margin}; give'):
        encode([Comparison(prompt('a'), ('b', 'c'), margin)])

  def test_a_weight_that_is_none_is_refused(self):
    for weight in (-1.0, float('nan'), float('inf')):
      with self.assertRaisesRegex(jsonl.DataError, f'weight is {weight}; give'):
        encode([Demonstration(prompt('a'), 'b', weight)])

  def test_a_long_response_is_cut_and_not_closed(self):
    records = [
      Comparison(prompt('a'), ('b c', 'd e f')),  # Three with its end: fits.
      Demonstration(prompt('a'), 'b c d e'),
    ]
    (pair, demonstration), counts = encode(records)
    self.assertEqual(pair.response_ids, ([1, 2, EOS], [3, 4, 5]))
    self.assertEqual(demonstration.response_ids, ([1, 2, 3],))
    self.assertEqual(counts.truncated_responses, 2)

  def test_a_response_that_was_cut_is_not_closed(self):
    cut, whole = Response('b c', ended=False), Response('b d')
    (pair, alone), counts = encode(
      [
        Comparison(prompt('a'), (cut, whole), target=cut),
        Demonstration(prompt('a'), cut),
      ]
    )
    self.assertEqual(pair.response_ids, ([1, 2], [1, 3, EOS]))
    self.assertEqual(pair.target_ids, [1, 2])
    self.assertEqual(alone.response_ids, ([1, 2],))
    self.assertEqual(counts.truncated_responses, 0)

  def test_a_policys_samples_are_closed_if_they_ended(self):
    said = Sampled(prompt('a'), ('b', 'b'), (True, False), (2, 1), (0.0, 0.0))
    (example,), _ = encode([said])
    self.assertEqual(example.response_ids, ([1, EOS], [1]))

  def test_ids_that_were_sampled_are_the_ids(self):
    said = Response('b', ids=(4, 5, EOS))
    (example,), _ = encode([Demonstration(prompt('a'), said)])
    self.assertEqual(example.response_ids, ([4, 5, EOS],))

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
    self.assertEqual(counts, encoding.Counts(dropped_prompts=1))

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
    self.assertEqual(counts, encoding.Counts(truncated_prompts=2))

  def test_a_dropped_record_cuts_no_responses(self):
    record = Demonstration(prompt('a b c d e'), 'a b c d')
    short = Demonstration(prompt('a'), 'a')
    examples, counts = encode([record, short], overlong=limits.drop)
    self.assertLen(examples, 1)
    self.assertEqual(counts, encoding.Counts(dropped_prompts=1))

  def test_a_prompt_without_tokens_is_refused(self):
    with self.assertRaisesRegex(jsonl.DataError, 'f:1: the prompt has no tok'):
      encode([prompt(' ', 'f:1')])


class ManyTest(parameterized.TestCase):
  """Records are encoded in chunks, as each would be alone."""

  def setUp(self):
    super().setUp()
    self.enterContext(mock.patch.object(encoding, 'CHUNK', 4))

  @parameterized.product(
    overlong=(limits.keep_end, limits.keep_start, limits.drop),
    chat=(False, True),
  )
  def test_as_one_by_one(self, overlong, chat):
    words = ['he he hello', 'a bé 漢', 'the then there <|user|>']
    jinja = templates.CHAT.jinja + ('{# Followed. #}' if chat else '')
    tokenizer = tokens.train_bpe(words * 9, vocab_size=300, chat_template=jinja)
    template = chat_templates.of(tokenizer)
    self.assertEqual(isinstance(template, chat_templates.ChatTemplate), chat)
    random_numbers = random.Random(overlong.__name__)

    def said():
      return ' '.join(
        random_numbers.choices(words, k=random_numbers.randint(1, 4))
      )

    records = []
    for number in range(30):
      turns = [('user', said()), ('assistant', said()), ('user', said())]
      asked = Prompt(tuple(Message(*t) for t in turns[2 * (number % 2) :]))
      records += [
        Comparison(
          asked, (said(), Response(said(), ended=False)), target=said()
        ),
        Demonstration(asked, Response('a', ids=(5, 6))),
        Sampled(asked, (said(), 'he'), (True, False), (1, 1), (0.0, 0.0)),
      ]
    under = limits.Limits(
      max_prompt_tokens=60, max_response_tokens=30, overlong=overlong
    )
    examples, counts = encoding.encode_all(records, tokenizer, template, under)
    alone, tally = [], collections.Counter()
    for index, record in enumerate(records):
      for example in encoding.stream(
        [record], tokenizer, template, under, tally
      ):
        alone.append(example._replace(index=index))
    self.assertEqual(examples, alone)
    self.assertEqual(counts, encoding.Counts(**tally))
    self.assertGreater(len({len(e.prompt_ids) for e in examples}), 5)

  def test_the_first_fault_is_told_whichever_chunk_it_is_in(self):
    fine = [Demonstration(prompt('a'), 'b')] * 9
    unknown = Demonstration(prompt('a'), 'z')
    long = Demonstration(prompt('a b c d e', 'f:1'), 'b')
    odd = Comparison(prompt('a', 'f:2'), ('b', 'c'), -1.0)
    for first, said in (
      (unknown, "'z' is no word"),
      (long, 'f:1: the prompt has 5 tokens'),
      (odd, 'f:2: the margin is -1.0'),
    ):
      with self.assertRaisesRegex(ValueError, re.escape(said)):
        encode([*fine, first, unknown, long, odd, *fine])

  def test_the_tokenizer_is_asked_once_a_chunk(self):
    records = [Demonstration(prompt('a b'), 'c d')] * 12
    backend = mock.Mock(wraps=TOKENIZER.marks.backend)
    with mock.patch.object(TOKENIZER.marks, 'backend', backend):
      encode(records)
    self.assertEqual(backend.encode_batch_fast.call_count, 3)
    backend.encode.assert_not_called()

  def test_records_are_taken_as_they_are_needed(self):
    taken = []

    def records():
      for number in range(99):
        taken.append(number)
        yield prompt('a')

    under = limits.Limits(max_prompt_tokens=4, max_response_tokens=3)
    made = encoding.stream(
      records(), TOKENIZER, templates.PLAIN, under, collections.Counter()
    )
    next(made)
    self.assertLess(len(taken), 4 * (ahead.THREADS + 2))
    made.close()


class UnlearnableTest(parameterized.TestCase):
  def test_what_nothing_can_be_learnt_from_is_left_out_and_counted(self):
    records = [
      Comparison(prompt('a'), ('b', 'b'), scores=(2.0, 1.0)),
      # The limit of three leaves the same ids of both, and of all.
      Comparison(prompt('a'), ('b c d e', 'b c d f')),
      Comparison(prompt('a'), ('b c d e', 'b c d f', 'b c d g')),
      Comparison(prompt('a'), ('b', 'c'), scores=(2.0, 2.0)),
      Comparison(prompt('a'), (' ', 'c')),
      Demonstration(prompt('a'), '\n'),
      Rated(prompt('a'), '', (1.0,)),
      Demonstration(prompt('a'), 'b'),
    ]
    examples, counts = encode(records)
    self.assertEqual([example.index for example in examples], [7])
    self.assertEqual(
      counts,
      encoding.Counts(
        truncated_responses=5,
        identical_responses=3,
        tied_scores=1,
        empty_responses=3,
      ),
    )

  @parameterized.parameters(
    (Comparison(prompt('a'), ('b', '')),),  # To be silent is to be worse.
    (Comparison(prompt('a'), ('b', 'c', 'd'), scores=(2.0, 2.0, 2.0)),),
    (Comparison(prompt('a'), ('b', 'b', 'd')),),
    (Comparison(prompt('a'), ('b c d', 'b c d e')),),  # One ends, one is cut.
    (Comparison(prompt('a'), ('b',), scores=(1.0,)),),
    (prompt('a'),),
  )
  def test_what_tells_something_stays(self, record):
    examples, counts = encode([record], max_response_tokens=4)
    self.assertLen(examples, 1)
    self.assertEqual(counts[3:], (0, 0, 0))

  def test_scoring_takes_all(self):
    pair = Comparison(prompt('a'), ('b', 'b'), scores=(1.0, 1.0))
    examples, _ = encoding.encode_all(
      [pair],
      TOKENIZER,
      templates.PLAIN,
      limits.Limits(max_prompt_tokens=1, max_response_tokens=2),
    )
    self.assertEqual([e.record for e in examples], [pair])

  def test_nothing_left_is_told(self):
    records = [
      Comparison(prompt('a', 'f.jsonl:1'), ('b', 'b')),
      Comparison(prompt('a'), ('b', 'c'), scores=(2.0, 2.0)),
      Comparison(prompt('a b c d e'), ('b', 'c')),
    ]
    with self.assertRaisesRegex(
      jsonl.DataError,
      'nothing is left of 3 records, the first at f.jsonl:1: 1 dropped prompt,'
      ' 1 identical response, 1 tied score',
    ):
      encode(records, overlong=limits.drop)


class ComparisonTest(parameterized.TestCase):
  def test_a_target_is_closed_and_counts_for_the_length(self):
    records = [
      Comparison(prompt('a'), ('b', 'c'), target='d e'),
      Comparison(prompt('a'), ('b', 'c'), target=''),
      Comparison(prompt('a'), ('b', 'c'), target='d e f'),  # Cut.
    ]
    examples, counts = encode(records)
    self.assertEqual(
      [e.target_ids for e in examples], [[3, 4, EOS], [EOS], [3, 4, 5]]
    )
    self.assertEqual([e.length for e in examples], [4, 3, 4])
    self.assertEqual(
      [e.response_ids for e in examples], [([1, EOS], [2, EOS])] * 3
    )
    self.assertEqual(counts, encoding.Counts(truncated_responses=1))

  def test_a_single_response_can_be_scored(self):
    record = Comparison(prompt('a'), ('b',), scores=(-3.0,))
    (example,), _ = encode([record])
    self.assertEqual(example.response_ids, ([1, EOS],))
    self.assertEqual(example.record.scores, (-3.0,))

  def test_equal_scores_are_in_order(self):
    record = Comparison(prompt('a'), ('b', 'c', 'd'), scores=(2.0, 2.0, 1.0))
    self.assertEqual([e.record for e in encode([record])[0]], [record])

  @parameterized.parameters(
    ((), None, 'f:3: there are no responses to compare'),
    (('b', 'c'), (1.0,), 'f:3: there are 1 scores and 2 responses; give each'),
    (('b',), (1.0, 0.5), 'f:3: there are 2 scores and 1 responses'),
    (('b', 'c'), (float('nan'), 1.0), 'f:3: the score of response 1 is nan'),
    (('b', 'c'), (float('inf'), 1.0), 'f:3: the score of response 1 is inf'),
    (
      ('b', 'c', 'd'),
      (2.0, 0.5, 1.0),
      r'f:3: response 3 scores 1, more than the one before it \(0.5\); put the',
    ),
  )
  def test_scores_must_fit_the_responses(self, responses, scores, said):
    record = Comparison(prompt('a', 'f:3'), responses, scores=scores)
    with self.assertRaisesRegex(jsonl.DataError, said):
      encode([Comparison(prompt('a'), ('b',)), record])
