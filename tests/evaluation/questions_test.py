"""Benchmarks of policies: where their questions are, and how they go on."""

import json
import os
import pathlib
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import questions
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
    ('alpaca_eval', 'launch.prepare alpaca_farm_ranked --from DIR'),
    ('llmbar', 'launch.prepare llmbar --from DIR'),
    ('mt_bench', '--questions FILE, question.jsonl of lm-sys/FastChat'),
  )
  def test_what_brings_them(self, name, words):
    environ = {'TFDS_DATA_DIR': str(self.folder)}
    with (
      mock.patch.dict(os.environ, environ),
      self.assertRaisesRegex(ValueError, words),
    ):
      questions.load(name)

  def test_a_line_that_is_no_question(self):
    with self.assertRaisesRegex(ValueError, 'question.jsonl:1: .*turns'):
      questions.load('mt_bench', self.file({'turns': []}))


if __name__ == '__main__':
  absltest.main()
