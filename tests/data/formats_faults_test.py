"""Files of no format, or that do not fit theirs: a sentence that says where."""

import json
import pathlib
import tempfile

from absl.testing import absltest, parameterized

from rlhf_jax.addressing import describe
from rlhf_jax.data import formats, jsonl

USER = {'role': 'user', 'content': 'q'}
ANSWER = {'role': 'assistant', 'content': 'a'}
PAIR = {'prompt': 'q', 'chosen': 'good', 'rejected': 'bad'}
HELP = {'correctness': 3, 'coherence': 2, 'complexity': 1, 'verbosity': 0}


class FormatsFaultsTest(parameterized.TestCase):
  def write(self, *rows):
    folder = self.enterContext(tempfile.TemporaryDirectory())
    path = pathlib.Path(folder) / 'f.jsonl'
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return path

  def fault(self, *rows, read=formats.read, **options):
    with self.assertRaises(jsonl.DataError) as caught:
      read(self.write(*rows), **options)
    said = str(caught.exception)
    self.assertNotIn('\n', said)
    return said

  @parameterized.parameters(
    (
      {'prompt': 'q', 'chosen': 'a', 'rejectd': 'b'},
      'f.jsonl:1: the fields are prompt, chosen, rejectd; the nearest format is'
      ' TRL preference, which also has rejected and which has no field rejectd',
    ),
    (
      {'prompt': 'q', 'chosen': 'a', 'rejected': 'b', 'score_chosen': 1},
      'the nearest format is UltraFeedback binarized, which also has '
      'score_rejected.',
    ),
    (
      {'instruction': 'q', 'input': ''},
      'the nearest format is Alpaca instructions, which also has output.',
    ),
    (
      {'prompt': 'q', 'completions': ['a'], 'labels': [True]},
      'TRL prompt-only, which has no field completions, labels.',
    ),
    ({'a': 1, 'b': 2}, 'f.jsonl:1: the fields are a, b, as of no format'),
    (PAIR | {'margn': 2}, 'TRL preference, which has no field margn.'),
    (PAIR | {'label': True}, 'TRL preference, which has no field label.'),
    (
      {'prompt': 'q', 'reference_answer': 'a'},
      'TRL prompt-only, which has no field reference_answer.',
    ),
    ({}, 'the fields are none, as of no format that is known: HH-RLHF, Ultra'),
    (
      PAIR | {'chosen': 3},
      "f.jsonl:1: as TRL preference, field 'chosen' must be a text",
    ),
    (
      {'prompt': 'q', 'response': 'a', 'helpfulness': 5} | HELP,
      "as HelpSteer, field 'helpfulness' must be between 0 and 4, not 5.",
    ),
    (
      PAIR | {'tools': [{'name': 'search'}]},
      "as TRL preference, field 'tools' is not read here",
    ),
    (
      {'messages': [USER, {'role': 'tool', 'content': 'x'}, ANSWER]},
      "field 'messages' item 2 field 'role' is 'tool': what tools say is not",
    ),
    (
      {'messages': [USER, ANSWER | {'tool_calls': [{'id': 1}]}]},
      "field 'messages' item 2 field 'tool_calls' is not read here",
    ),
    (
      {'messages': [USER | {'content': [{'type': 'image'}]}, ANSWER]},
      "item 1 field 'content' item 1 is a part of type 'image'; only parts",
    ),
    (
      {'messages': [USER | {'role': 'human'}, ANSWER]},
      "field 'role' must be one of user, assistant, system, not 'human'",
    ),
    (
      {'messages': [USER | {'content': None}, ANSWER]},
      "field 'content' must be a text, not null",
    ),
    (
      {'conversations': [{'from': 'tool', 'value': 'x'}]},
      "field 'from' must be one of human, user, gpt",
    ),
  )
  def test_the_nearest_format_is_told(self, row, said):
    self.assertIn(said, self.fault(row))

  @parameterized.parameters(
    ({'chosen': 'a', 'rejected': 'b', 'prompt': 1}, "field 'prompt' must be a"),
    (PAIR | {'note': 1}, "the line has an unknown field 'note'"),
    ({'prompt': 'q', 'chosen': 'a'}, "the line has no field 'rejected'"),
    (
      PAIR | {'prompt': [USER, USER]},
      "must alternate user and assistant, and item 2 is of role 'user'",
    ),
    (PAIR | {'chosen': [USER, ANSWER]}, "has a text and messages in 'chosen'"),
  )
  def test_every_row_must_fit(self, row, said):
    found = self.fault(PAIR, row)
    self.assertStartsWith(found, 'f.jsonl:2: ')
    self.assertIn(said, found)

  def test_scores_the_wrong_way_are_refused(self):
    row = PAIR | {'score_chosen': 1, 'score_rejected': 2}
    said = self.fault(row)
    self.assertIn('f.jsonl:1: the rejected response scores 1 more', said)

  def test_a_verdict_of_neither_is_refused(self):
    row = {'instruction': 'q', 'output_1': 'a', 'output_2': 'b'}
    said = self.fault(row | {'preference': 3})
    self.assertIn("field 'preference' must be 1 or 2, not 3", said)
    said = self.fault(row | {'preference': True})
    self.assertIn('must be 1 or 2, not true or false', said)

  def test_nothing_left_is_told(self):
    said = self.fault(PAIR | {'rejected': 'good'})
    self.assertIn('1 of 1 left out: the responses are the same text', said)
    self.assertIn('at f.jsonl:1); nothing is left', said)

  def test_a_named_format_is_the_only_one(self):
    said = self.fault(PAIR, read=formats.ALPACA)
    self.assertIn('nearest format is Alpaca instructions, which also has', said)

  def test_only_a_format_is_a_format(self):
    self.assertIn('is no format; name', self.fault(PAIR, format=formats.read))

  def test_a_file_of_nothing_to_learn_from(self):
    asked = {'message_id': 'p', 'text': 'q', 'role': 'prompter', 'replies': []}
    alone = {'message_tree_id': 't', 'prompt': asked}
    for read in (formats.comparisons, formats.demonstrations, formats.prompts):
      self.assertIn('nothing is there to learn', self.fault(alone, read=read))

  def test_a_column_that_is_not_there(self):
    said = self.fault(
      {'question': 'q', 'answer': 'a'},
      columns={'prompt': 'queston', 'completion': 'answer'},
    )
    self.assertIn("f.jsonl:1: there is no column 'queston' to read as", said)
    self.assertIn("did you mean 'question'?", said)

  def test_other_records_than_are_needed(self):
    said = self.fault({'prompt': 'q'}, read=formats.demonstrations)
    self.assertIn('1 prompts; demonstrations are needed', said)
    said = self.fault({'text': 'a'}, read=formats.comparisons)
    self.assertIn('1 demonstrations; comparisons are needed', said)

  def test_a_format_can_stand_in_a_config(self):
    for form in formats.FORMATS:
      self.assertEqual(describe(form)['name'], form.name)
      json.dumps(describe(form))


if __name__ == '__main__':
  absltest.main()
