"""Benchmarks of policies: where their questions are, and how they go on."""

import json
import os
import pathlib
import re
import tempfile
from unittest import mock

import tensorflow_datasets as tfds
from absl.testing import absltest, parameterized

import rlhf_jax.data.builders  # noqa: F401
from rlhf_jax.evaluation import questions
from rlhf_jax.feedback import verdicts
from rlhf_jax.types import Message, Prompt


class QuestionsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def file(self, *rows):
    path = self.folder / 'question.jsonl'
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return str(path)

  def test_questions_of_one_turn_each_once(self):
    row = {'question_id': 1, 'category': 'math', 'turns': ['1 + 1 ?']}
    found = questions.load('vicuna80', self.file(row, row))
    self.assertLen(found, 1)
    self.assertEqual(found[0].prompt.text, '1 + 1 ?')
    self.assertEqual(found[0].prompt.kind, 'math')
    self.assertEqual(found[0].later, ())

  def test_two_turns_and_their_answers(self):
    row = {
      'question_id': 81,
      'category': 'writing',
      'turns': ['Write.', 'Again.'],
      'reference': ['so', 'so again'],
    }
    (question,) = questions.load('mt_bench', self.file(row))
    self.assertEqual(question.later, ('Again.',))
    self.assertEqual(question.prompt.answer, 'so\n\nso again')
    second = questions.following(question, ['Done.'])
    self.assertEqual(
      second.messages,
      (
        Message('user', 'Write.'),
        Message('assistant', 'Done.'),
        Message('user', 'Again.'),
      ),
    )
    self.assertEqual(
      questions.transcript(question, ['Done.', 'Redone.']),
      'Done.\n\n[The user asks next: Again.]\n\nRedone.',
    )
    single = questions.Question(Prompt((Message('user', 'x'),)))
    self.assertEqual(questions.transcript(single, ['y']), 'y')

  def test_a_judge_may_be_shown_the_turns_apart(self):
    question = questions.Question(Prompt((Message('user', 'Do.'),)), ('Redo.',))
    first, second = (
      questions.transcript(question, [f'{x} done', f'{x} redone']) for x in 'ab'
    )
    template = verdicts.load('pair_turns_1')
    _, user = template.filled(question.prompt, first, second)
    shown = re.findall(r' begins \w{16}\n(.*)\n.* ends ', user.content)
    self.assertEqual(
      shown, ['Do.', 'a done', 'b done', 'Redo.', 'a redone', 'b redone']
    )

  def test_of_llmbar_the_natural_ones(self):
    rows = [
      {'instruction': text, 'output_1': 'a', 'output_2': 'b', 'label': 1,
       'subset': subset}
      for text, subset in (('p', 'Natural'), ('q', 'Manual'))
    ]  # fmt: skip
    found = questions.load('llmbar', self.file(*rows))
    self.assertEqual([q.prompt.text for q in found], ['p'])

  @parameterized.parameters(
    ('vicuna80', 'launch.prepare vicuna --from DIR'),
    ('alpaca_eval', 'launch.prepare alpaca_eval --from DIR'),
    ('llmbar', 'launch.prepare llmbar --from DIR'),
    ('mt_bench', 'launch.prepare mt_bench --from DIR'),
  )
  def test_what_brings_them(self, name, words):
    self.assertLen(questions.BENCHMARKS, 4)
    with self.prepared_here(), self.assertRaisesRegex(ValueError, words):
      questions.load(name)

  def test_prepared_ones_are_those_of_the_file(self):
    def row(number, *turns, reference=None):
      said = {'question_id': number, 'category': 'math', 'turns': turns}
      return said | {'reference': reference}

    rows = {
      'vicuna80': [row(1, '1 + 1 ?', reference=['2']), row(2, 'Be.')],
      'mt_bench': [row(81, 'q', 'r', reference=['a', 'b']), row(82, 'q', 's')],
      'alpaca_eval': [
        {'dataset': 'koala', 'instruction': f'q{i}', 'output': 'a'}
        | {'generator': 'm'}
        for i in range(40)
      ],
    }
    for name, given in rows.items():
      folder = self.folder / name
      folder.mkdir()
      file = 'alpaca_eval.json' if name == 'alpaca_eval' else 'question.jsonl'
      (folder / file).write_text(''.join(json.dumps(x) + '\n' for x in given))
      builder = tfds.builder(
        questions.BENCHMARKS[name].dataset, data_dir=self.folder / 'to'
      )
      builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=folder)
      )
      with self.prepared_here('to'):
        found = questions.load(name)
      self.assertEqual(found, questions.load(name, str(folder / file)))
      self.assertLen(found, len(given))
      kind = 'koala' if name == 'alpaca_eval' else 'math'
      self.assertEqual({q.prompt.kind for q in found}, {kind})
    with self.prepared_here('to'):
      said = [(q.later, q.prompt.answer) for q in questions.load('mt_bench')]
      self.assertEqual(said, [(('r',), 'a\n\nb'), (('s',), '')])
      (sum_, _) = questions.load('vicuna80')
      self.assertEqual((sum_.prompt.answer, sum_.later), ('2', ()))

  def prepared_here(self, name=''):
    environ = {'TFDS_DATA_DIR': str(self.folder / name)}
    return mock.patch.dict(os.environ, environ)

  def test_a_line_that_is_no_question(self):
    with self.assertRaisesRegex(ValueError, 'question.jsonl:1: .*turns'):
      questions.load('mt_bench', self.file({'turns': []}))

  @parameterized.product(
    name=['vicuna80', 'alpaca_eval', 'llmbar', 'mt_bench'],
    row=[{'word': 'a', 'count': 3}, {'question': 'q'}],
  )
  def test_a_file_without_questions_is_told_what_questions_are(self, name, row):
    with self.assertRaisesRegex(
      ValueError, f'no questions: .* {", ".join(row)}; give rows with category'
    ) as caught:
      questions.load(name, self.file(row))
    said = str(caught.exception)
    self.assertNotRegex(said, 'worked problems|HH-RLHF|column')
    self.assertEqual('as AlpacaEval' in said, name != 'mt_bench')


if __name__ == '__main__':
  absltest.main()
