"""What is said of a dataset before one trains on it."""

import contextlib
import io
import json
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

from launch import inspect
from launch.inspecting import (
  contents,
  examples,
  methods_for,
  oddities,
  words,
)
from rlhf_jax.data import templates, tokens
from rlhf_jax.data.readers import Records
from rlhf_jax.data.token_inspection import Span
from rlhf_jax.types import Comparison, Message, Prompt

PAIRS = [
  {'prompt': 'ab', 'chosen': 'long one', 'rejected': 'no'},
  {'prompt': 'ab', 'chosen': 'longer one', 'rejected': 'no'},
  {'prompt': 'cd', 'chosen': 'x', 'rejected': 'y'},
  {'prompt': 'ef', 'chosen': 'long too', 'rejected': 'n'},
]


class InspectTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    scratch = self.enterContext(tempfile.TemporaryDirectory())
    self.folder = pathlib.Path(scratch)

  def file(self, *rows, name='data.jsonl'):
    path = self.folder / name
    path.write_text('\n'.join(map(json.dumps, rows)))
    return path

  def tokenizer(self):
    """A folder in which every byte is a token."""
    made = tokens.train_bpe(
      [], vocab_size=261, chat_template=templates.CHAT.jinja
    )
    made.save(self.folder / 'tokenizer')
    return f'tokenizer={self.folder / "tokenizer"}'

  def run_inspect(self, data, *assignments, status=0):
    """What was printed, and what was said of errors."""
    arguments = [str(data)]
    for assignment in assignments:
      arguments += ['--set', assignment]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
      self.assertEqual(inspect.main(arguments), status, err.getvalue())
    return out.getvalue(), err.getvalue()

  def flat(self, *arguments):
    """What was printed, its lines joined."""
    text, _ = self.run_inspect(*arguments)
    for line in text.splitlines():
      self.assertLessEqual(len(line), 80, line)
    self.assertNotIn('\x1b', text)
    return ' '.join(text.split())

  def test_pairs_without_a_tokenizer(self):
    text = self.flat(self.file(*PAIRS))
    for said in (
      'data.jsonl: read as TRL preference, 4 comparisons',
      'records pairs: 4 (100 %)',
      'messages of a prompt 1: 4 (100 %)',
      'different prompts 3; 2 (50 %) of the records share theirs',
      'doubles 0 (0 %)',
      # Three longer ones, and one of equal length.
      'is longer in 75 %, shorter in 0 %: who always takes the longer is right '
      'to 0.88',
      'learn from labels kto',
      'missing responses with ratings, for attribute_model',
      '[[long one]] [[no]]',
      'warning: 50 % of the records share their prompt',
      'warning: who always prefers the longer response is right to 0.88',
    ):
      self.assertIn(said, text)
    # Prompts of two letters, responses of 8, 10, 1, 8, 2, 2, 1 and 1.
    self.assertRegex(text, r'prompts 2 2 2 2 2 2 2 ')
    self.assertRegex(text, r'responses 4\.12 1 1 2 8 9\.3 10 ')

  def test_pairs_in_tokens(self):
    text = self.flat(
      self.file(*PAIRS),
      self.tokenizer(),
      'max_response_tokens=4',
      'batch_size=4',
      'pad_to=4',
      'shown=1',
    )
    # Two markers and two letters; of responses the end-of-text is one.
    self.assertIn('prompts 4 4 4 4 4 4 4 ', text)
    # Three of eight are longer than 4: 9, 11 and 9 tokens.
    self.assertRegex(text, r'─ 4 0 \(0 %\) 3 \(38 %\) 4 \(100 %\) 128 0')
    self.assertIn('at the limits set 3 truncated responses', text)
    # Eight rows of 8 columns: four letters, three with the end, or two.
    real = 3 * (4 + 4) + 2 * (4 + 3) + 3 * (4 + 2)
    self.assertIn(f'at random {100 * (1 - real / 64):.0f} %', text)
    self.assertIn('<|user|>¦a¦b¦<|assistant|>¦[[l¦o¦n¦g]]', text)
    self.assertIn('[[n¦o¦<|eos|>]]', text)
    self.assertIn('38 % of the responses are cut, and learnt without an', text)

  def test_some_of_many_become_tokens(self):
    rows = [{'prompt': f'p{i}', 'completion': 'a'} for i in range(30)]
    text = self.flat(self.file(*rows), self.tokenizer(), 'tokenized=3')
    self.assertIn('tokens of 3 (10 %) of the records, evenly spread', text)
    self.assertIn('packed into rows of 512', text)
    self.assertIn('demonstration data.jsonl:30', text)

  def test_limits_that_a_training_would_refuse_are_a_warning(self):
    text = self.flat(self.file(*PAIRS), self.tokenizer(), 'max_prompt_tokens=2')
    self.assertIn('warning: at these limits a training does not begin', text)
    self.assertIn('[[l¦o¦n¦g¦ ¦o¦n¦e¦<|eos|>]]', text)
    demonstration = self.file({'prompt': 'x', 'completion': 'abcdef'})
    text = self.flat(demonstration, self.tokenizer(), 'row_length=8')
    self.assertIn('has 10 tokens and a row holds 8', text)

  def test_labels_and_ratings(self):
    rows = [
      {'prompt': 'x', 'completion': str(i), 'label': i > 0} for i in range(10)
    ]
    text = self.flat(self.file(*rows))
    self.assertIn('labels desirable 9 (90 %), undesirable 1 (10 %)', text)
    self.assertIn('warning: labels are uneven, 9 desirable to 1 not', text)
    self.assertIn('missing two responses to a prompt', text)
    attributes = (
      'helpfulness', 'correctness', 'coherence', 'complexity', 'verbosity'
    )  # fmt: skip
    rated = [
      {'prompt': 'x', 'response': 'y'} | dict.fromkeys(attributes, i)
      for i in (1, 4)
    ]
    text = self.flat(self.file(*rated))
    self.assertIn('attribute 5 2 1 2.50 4', text)
    self.assertIn('learn from ratings attribute_model, attribute_writer', text)

  def test_tied_scores(self):
    said = [{'role': 'user', 'content': 'x'}]
    rows = [
      {
        'prompt': 'x',
        'chosen': [*said, {'role': 'assistant', 'content': f'good {i}'}],
        'rejected': [*said, {'role': 'assistant', 'content': 'bad'}],
        'score_chosen': 8.0,
        'score_rejected': 8.0 - i,
      }
      for i in range(4)
    ]
    text = self.flat(self.file(*rows))
    self.assertIn('tied 1 (25 %) of those with scores', text)
    self.assertIn('first over second 2 1 1.5 2 2.5 2.9 3 ', text)
    self.assertIn('warning: 1 (25 %) of the comparisons with scores', text)

  def test_what_a_file_says_does_nothing_to_the_console(self):
    self.flat(self.file({'prompt': 'a\x1b[31m', 'completion': 'b\x07'}))

  @parameterized.parameters(
    ('tokeniser=x', 'there is no tokeniser; did you mean tokenizer'),
    ('examples=many', "examples takes a whole number or none, not 'many'"),
    ('held_out=1', 'held_out is 1.0; it must be in (0, 1)'),
    ('shown', "--set takes NAME=VALUE, and 'shown' has no"),
    ('tokenizer=nowhere', 'there is no tokenizer.json in nowhere'),
    ('data_columns=prompt', 'columns are given as FIELD=COLUMN'),
  )
  def test_a_setting_that_cannot_be(self, assignment, message):
    path = self.file(*PAIRS)
    out, err = self.run_inspect(path, assignment, status=1)
    self.assertEqual(out, '')
    self.assertIn(message, err)
    self.assertEqual(err.count('\n'), 1)

  def test_data_that_cannot_be_read(self):
    damaged = self.folder / 'damaged.jsonl'
    damaged.write_text('{"prompt": "x"}\n{"prom')
    for data, message in (
      (self.folder / 'none.jsonl', 'there is no file none.jsonl'),
      (damaged, 'damaged.jsonl:2'),
      (self.file({'colour': 'red'}), 'as of no format that is known'),
    ):
      out, err = self.run_inspect(data, status=1)
      self.assertEqual(out, '')
      self.assertIn(message, err)
      self.assertEqual(err.count('\n'), 1)

  def test_a_folder_with_a_description_of_its_data(self):
    self.file(*PAIRS)
    (self.folder / 'MANIFEST.json').write_text('{\n"rows": 4\n}')
    text = self.flat(self.folder)
    self.assertIn('MANIFEST.json: a single JSON object, not read as', text)
    self.assertIn('data.jsonl: read as TRL preference, 4 comparisons', text)

  def test_a_stop_is_a_word(self):
    with mock.patch.object(inspect, 'set_by', side_effect=KeyboardInterrupt):
      out, err = self.run_inspect('data.jsonl', status=130)
    self.assertEqual((out, err), ('', 'stopped\n'))

  def test_help_lists_the_settings(self):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), self.assertRaises(SystemExit) as end:
      inspect.parse(['--help'])
    self.assertEqual(end.exception.code, 0)
    text = ' '.join(out.getvalue().split())
    self.assertIn('--set examples=none how many are read', text)
    self.assertNotIn('--print-config', text)


class OdditiesTest(absltest.TestCase):
  def test_a_response_left_alone_among_pairs_is_no_label(self):
    asked = [Prompt((Message('user', f'{i}'),)) for i in range(40)]
    alone = Comparison(asked[0], ('a',), scores=(1.0,))
    pairs = [Comparison(prompt, ('a', 'b')) for prompt in asked[1:]]
    for records, warned in (([alone, *pairs], False), ([alone] * 2, True)):
      seen = contents.see(Records(records), held_out=0.5)
      said = ' '.join(oddities.of_records(seen))
      self.assertEqual('labels are uneven' in said, warned, said)


class ColourTest(absltest.TestCase):
  def test_only_in_a_terminal_that_wants_it(self):
    terminal = mock.Mock(isatty=lambda: True)
    with mock.patch.dict('os.environ', {'NO_COLOR': ''}):
      self.assertTrue(inspect.coloured(terminal))
      self.assertFalse(inspect.coloured(io.StringIO()))
    with mock.patch.dict('os.environ', {'NO_COLOR': '1'}):
      self.assertFalse(inspect.coloured(terminal))

  def test_what_is_learnt_is_green_or_between_marks(self):
    row = (Span(('a', '\n'), False), Span(('b', ' c'), True))
    self.assertEqual(list(examples.laid_out(row, False)), ['a¦↵', '[[b¦ c]]'])
    self.assertEqual(
      list(examples.laid_out(row, True)),
      ['a¦↵', '\x1b[32mb\x1b[0m¦\x1b[32m c\x1b[0m'],
    )

  def test_the_middle_of_a_long_run_is_counted(self):
    row = (Span(tuple('x' * 100), True),)
    said = ''.join(examples.laid_out(row, False))
    self.assertIn('… 52 more …', said)
    self.assertEqual(said.count('x'), 48)
    longest = max(
      map(len, examples.laid_out((Span(('y' * 200,), True),), False))
    )
    self.assertLessEqual(longest, 80)


class WordsTest(absltest.TestCase):
  def test_shares(self):
    self.assertEqual(words.percent(1, 1000), '<1 %')
    self.assertEqual(words.percent(0, 1000), '0 %')
    self.assertEqual(words.percent(999, 1000), '>99 %')
    self.assertEqual(words.percent(5, 5), '100 %')
    self.assertEqual(words.percent(2, 3), '67 %')
    self.assertEqual(words.percent(0, 0), '–')

  def test_the_most_frequent_first(self):
    counts = dict(zip('abcdefgh', (1, 2, 1, 1, 1, 1, 1, 2), strict=True))
    found = words.counted(counts)
    self.assertStartsWith(found, 'b: 2 (20 %), h: 2 (20 %), a: 1 (10 %)')
    self.assertEndsWith(found, ', and 2 more')


class MethodsTest(absltest.TestCase):
  def test_what_methods_read(self):
    from rlhf_jax import methods

    for name, need in {
      'dpo': methods_for.PAIRS,
      'pro': methods_for.LISTS,
      'kto': methods_for.LABELS,
      'sft': methods_for.RESPONSES,
      'attribute_model': methods_for.RATINGS,
      'ppo': methods_for.PROMPTS,
      'rso': methods_for.PROMPTS,  # It samples its pairs itself.
    }.items():
      self.assertIs(methods_for.need_of(getattr(methods, name)), need, name)


if __name__ == '__main__':
  absltest.main()
