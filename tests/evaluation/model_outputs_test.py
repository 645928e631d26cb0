"""AlpacaEval's formats, in and out."""

import json
import pathlib
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.data.jsonl import DataError
from rlhf_jax.evaluation import model_outputs
from rlhf_jax.evaluation.questions import Question
from rlhf_jax.types import Message, Prompt

PROMPTS = [Prompt((Message('user', text),), kind='koala') for text in 'pq']
QUESTIONS = [*map(Question, PROMPTS)]


class ModelOutputsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

  def file(self, name, content):
    path = self.folder / name
    path.write_text(content)
    return str(path)

  def test_there_and_back(self):
    rows = model_outputs.outputs(PROMPTS, ['a', 'b'], 'mine')
    self.assertEqual(
      rows[0],
      {'dataset': 'koala', 'instruction': 'p', 'output': 'a',
       'generator': 'mine'},
    )  # fmt: skip
    path = self.file('model_outputs.json', json.dumps(rows[::-1]))
    self.assertEqual(model_outputs.read(path, QUESTIONS), (['a', 'b'], 'mine'))

  def test_two_answers_to_a_question(self):
    rows = model_outputs.outputs([PROMPTS[0]] * 2, ['a', 'b'], 'mine')
    path = self.file('model_outputs.json', json.dumps(rows))
    asked_twice = [QUESTIONS[0]] * 2
    self.assertEqual(
      model_outputs.read(path, asked_twice), (['a', 'b'], 'mine')
    )
    with self.assertRaisesRegex(DataError, 'is answer 2 to a question that is'):
      model_outputs.read(path, QUESTIONS[:1])
    one = self.file('one.json', json.dumps(rows[:1]))
    self.assertEqual(model_outputs.read(one, asked_twice), (['a', 'a'], 'mine'))

  def test_answers_of_two_turns(self):
    asked = [Question(PROMPTS[0], ('and then?',))]
    rows = model_outputs.outputs(PROMPTS[:1], ['x'], 'mine')
    whole = 'a\n\n[The user asks next: and then?]\n\nb'
    for said in (['a', 'b'], whole, [whole]):
      path = self.file('two.json', json.dumps([rows[0] | {'output': said}]))
      self.assertEqual(model_outputs.read(path, asked), ([whole], 'mine'))
    path = self.file('one.json', json.dumps(rows))
    with self.assertRaisesRegex(
      DataError, 'has 1 of 2 answers, one to each turn'
    ):
      model_outputs.read(path, asked)
    path = self.file(
      'many.json', json.dumps([rows[0] | {'output': ['a', 'b']}])
    )
    with self.assertRaisesRegex(DataError, 'has 2 of 1 answers'):
      model_outputs.read(path, QUESTIONS[:1])

  def test_a_preference_is_from_one_to_two(self):
    own = model_outputs.outputs(PROMPTS, ['a', 'b'], 'mine')
    other = model_outputs.outputs(PROMPTS, ['c', 'd'], 'theirs')
    first, second = model_outputs.annotations(
      own, other, np.array([0.75, np.nan]), 'judge'
    )
    # 2: the second output, which is one's own, is better.
    self.assertEqual(first['preference'], 1.75)
    self.assertEqual((first['output_1'], first['output_2']), ('c', 'a'))
    self.assertEqual(first['generator_2'], 'mine')
    self.assertIsNone(second['preference'])

  def test_difficulties(self):
    by_text = self.file('a.json', '{"p": 0.5, "q": -1, "other": 2}')
    by_place = self.file('b.csv', ',instruction_difficulty\n0,0.5\n1,-1\n')
    for path in (by_text, by_place):
      actual = model_outputs.difficulties(path, PROMPTS)
      np.testing.assert_array_equal(actual, [0.5, -1.0])

  @parameterized.parameters(
    ('a.json', '{"p": 0.5}', "has no difficulty of 'q'"),
    ('a.json', '[', 'is no table of difficulties'),
    ('a.json', '{"p": 0.5, "q": NaN}', 'a.json: difficulty 2 is nan; one'),
    ('a.csv', 'x,y\n0,1e300\n1,0\n', 'a.csv: difficulty 1 is 1e.300; one'),
    ('a.csv', 'x,y\n0,hard\n', 'is no table of difficulties'),
    ('a.csv', 'x,y\n0,1\n', 'has 1 difficulties, and there are 2 questions'),
  )
  def test_tables_that_are_none(self, name, content, message):
    with self.assertRaisesRegex(ValueError, message):
      model_outputs.difficulties(self.file(name, content), PROMPTS)

  def test_a_table_that_is_not_there(self):
    with self.assertRaisesRegex(ValueError, 'there is no file a.csv in'):
      model_outputs.difficulties(str(self.folder / 'a.csv'), PROMPTS)

  def test_copies_of_another_length(self):
    rows = [
      {'instruction': 'q', 'output_1': 'bb', 'output_2': 'b', 'preference': 0,
       'annotator': 'someone'},
      {'instruction': 'p', 'output_1': 'aa', 'output_2': 'aaaaa',
       'preference': 1.75},
      {'instruction': 'not asked', 'output_1': '', 'output_2': '',
       'preference': 1.5},
    ]  # fmt: skip
    path = self.file('annotations.json', json.dumps(rows))
    found = model_outputs.length_copies(path, PROMPTS, ['aa', 'bb'])
    self.assertEqual(found.prompts, PROMPTS[::-1])
    self.assertEqual(found.credits.tolist(), [0.5, 0.75])  # 0 is a tie.
    self.assertEqual(found.gaps.tolist(), [-1, 3])

  @parameterized.parameters(
    ({'output_1': 'other'}, 'a.json:1: output_1 is not what --against answers'),
    ({'preference': 3}, "a.json:1: field 'preference' must be a number from 1"),
    ({'preference': 'm'}, "'preference' must be a number from 1 to 2"),
    ({'preference': None}, 'a.json has no verdict on any of the 2 questions'),
    (
      {'instruction': 'else'},
      'a.json has no verdict on any of the 2 questions',
    ),
  )
  def test_copies_that_are_none(self, change, message):
    row = {'instruction': 'p', 'output_1': 'aa', 'output_2': 'a'}
    path = self.file('a.json', json.dumps([row | {'preference': 1.5} | change]))
    with self.assertRaisesRegex(ValueError, message):
      model_outputs.length_copies(path, PROMPTS, ['aa', 'bb'])
    path = self.file('a.json', json.dumps([row]))
    with self.assertRaisesRegex(ValueError, "a.json:1: .* 'preference'"):
      model_outputs.length_copies(path, PROMPTS, ['aa', 'bb'])

  def test_answers_that_are_not_there(self):
    rows = model_outputs.outputs(PROMPTS[:1], ['a'], 'mine')
    path = self.file('o.json', json.dumps(rows))
    with self.assertRaisesRegex(ValueError, 'no answer to 1 of 2 prompts'):
      model_outputs.read(path, QUESTIONS)
    path = self.file('o.json', '[{"output": "a"}]')
    with self.assertRaisesRegex(
      ValueError, 'o.json:1: the fields are output; .* instruction and output'
    ):
      model_outputs.read(path, QUESTIONS)


if __name__ == '__main__':
  absltest.main()
