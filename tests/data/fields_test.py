"""Fields by schema; every fault names file, line and field."""

import json
import pathlib
import tempfile

from absl.testing import parameterized

from rlhf_jax.data import fields, jsonl
from rlhf_jax.types import Message

SCHEMA = {
  'name': fields.filled,
  'note': fields.Optional(fields.text, 'none'),
  'score': fields.Optional(fields.number),
  'replies': fields.Optional(
    fields.list_of(
      fields.object_of({'text': fields.filled, 'rank': fields.number}), least=2
    )
  ),
  'prompt': fields.Optional(fields.turns),
  'other': fields.Optional(fields.anything),
}


def user(content):
  return {'role': 'user', 'content': content}


def assistant(content):
  return {'role': 'assistant', 'content': content}


class FieldsTest(parameterized.TestCase):
  def read(self, *lines):
    folder = self.enterContext(tempfile.TemporaryDirectory())
    path = pathlib.Path(folder) / 'f.jsonl'
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return list(fields.read(path, SCHEMA))

  def test_parses_fields_and_fills_in_those_left_out(self):
    replies = [{'text': 'a', 'rank': 0}, {'text': 'b', 'rank': 1}]
    (row,) = self.read({'name': 'x', 'score': 3, 'replies': replies})
    self.assertEqual(
      row,
      (
        'f.jsonl:1',
        {'name': 'x', 'note': 'none', 'score': 3.0, 'replies': replies}
        | {'prompt': None, 'other': None},
      ),
    )
    self.assertIsInstance(row.fields['score'], float)

  def test_turns_become_messages(self):
    system = {'role': 'system', 'content': 's'}
    turns = [system, user('a'), assistant('b'), user('c')]
    (row,) = self.read({'name': 'x', 'prompt': turns})
    self.assertEqual(
      row.fields['prompt'],
      (
        Message('system', 's'),
        Message('user', 'a'),
        Message('assistant', 'b'),
        Message('user', 'c'),
      ),
    )

  @parameterized.parameters(
    ({}, "the line has no field 'name', only none."),
    ({'note': 'n'}, "the line has no field 'name', only note."),
    ({'name': ' \n'}, "field 'name' is empty"),
    ({'name': 3}, "field 'name' must be a text, not a number."),
    ({'name': None}, "field 'name' must be a text, not null."),
    ({'name': '\ud83d'}, "field 'name' holds half a character, '\\ud83d'"),
    ({'name': 'x', 'note': []}, "field 'note' must be a text, not a list."),
    ({'name': 'x', 'score': 'a'}, "'score' must be a number, not a text."),
    ({'name': 'x', 'score': True}, 'must be a number, not true or false.'),
    ({'name': 'x', 'score': 1e999}, 'must be a finite number, not inf.'),
    ({'name': 'x', 'replies': {}}, "'replies' must be a list, not an object."),
    (
      {'name': 'x', 'replies': [1]},
      "'replies' must hold 2 or more, and holds 1",
    ),
    ({'name': 'x', 'replies': [1, 2]}, "'replies' item 1 must be an object"),
    (
      {
        'name': 'x',
        'replies': [{'text': 'a', 'rank': 0}, {'text': 'b', 'rank': '1'}],
      },
      "field 'replies' item 2 field 'rank' must be a number, not a text.",
    ),
    (
      {'name': 'x', 'replies': [{'txt': 'a', 'rank': 0}, {}]},
      "field 'replies' item 1 has an unknown field 'txt'; did you mean 'text'?"
      ' Its fields are text, rank.',
    ),
    (
      {'naem': 'x'},
      "the line has an unknown field 'naem'; did you mean 'name'? Its fields"
      ' are name, note, score, replies, prompt, other.',
    ),
  )
  def test_a_fault_is_placed(self, line, sentence):
    with self.assertRaises(jsonl.DataError) as caught:
      self.read({'name': 'good'}, line)
    self.assertStartsWith(str(caught.exception), 'f.jsonl:2: ')
    self.assertIn(sentence, str(caught.exception))

  @parameterized.parameters(
    ([], "field 'prompt' must hold 1 or more, and holds 0"),
    ('hello', "field 'prompt' must be a list, not a text."),
    ([assistant('a')], "item 1 is of role 'assistant' where 'user' is due"),
    ([user('a'), user('b')], "item 2 is of role 'user' where 'assistant' is"),
    (
      [{'role': 'system', 'content': 's'}, user('a'), user('b')],
      "item 3 is of role 'user' where 'assistant' is due",
    ),
    ([user('a'), assistant('b')], "must end with a 'user' turn"),
    ([{'role': 'system', 'content': 's'}], "must end with a 'user' turn"),
    (
      [user('a'), {'role': 'human', 'content': 'b'}],
      "item 2 field 'role' must be one of user, assistant, system, not 'human'",
    ),
    ([{'role': 'user'}], "item 1 has no field 'content', only role"),
    ([user('a'), assistant(''), user('b')], "item 2 field 'content' is empty"),
  )
  def test_a_conversation_alternates_and_ends_with_the_user(
    self, turns, sentence
  ):
    with self.assertRaises(jsonl.DataError) as caught:
      self.read({'name': 'x', 'prompt': turns})
    self.assertIn(sentence, str(caught.exception))
