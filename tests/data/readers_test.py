"""Lines of each format to records."""

import json
import pathlib
import tempfile

from absl.testing import parameterized

from rlhf_jax.data import formats, jsonl, readers
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt

TURNS = [
  {'role': 'user', 'content': 'hi'},
  {'role': 'assistant', 'content': 'yes?'},
  {'role': 'user', 'content': 'bye'},
]
MESSAGES = (
  Message('user', 'hi'),
  Message('assistant', 'yes?'),
  Message('user', 'bye'),
)


def asked(line, kind=''):
  return Prompt((Message('user', 'q'),), kind, f'r.jsonl:{line}')


class ReadersTest(parameterized.TestCase):
  def write(self, *lines):
    folder = self.enterContext(tempfile.TemporaryDirectory())
    path = pathlib.Path(folder) / 'r.jsonl'
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    return path

  def test_pairs(self):
    path = self.write(
      {'id': 7, 'subset': 'helpful', 'prompt': TURNS}
      | {'chosen': 'good', 'rejected': 'bad'}
    )
    prompt = Prompt(MESSAGES, 'helpful', 'r.jsonl:1')
    self.assertEqual(
      readers.pairs(path), [Comparison(prompt, ('good', 'bad'), 0.0)]
    )
    self.assertEqual(readers.chosen(path), [Demonstration(prompt, 'good')])

  def test_pairs_of_equal_responses_are_left_out_and_said(self):
    path = self.write(
      {'prompt': TURNS, 'chosen': 'a', 'rejected': 'b'},
      {'prompt': TURNS, 'chosen': 'c', 'rejected': 'c'},
      {'prompt': TURNS, 'chosen': 'd', 'rejected': 'd'},
    )
    pairs = readers.pairs(path)
    self.assertEqual([pair.responses for pair in pairs], [('a', 'b')])
    self.assertEqual(
      pairs.notes,
      (
        '2 of 3 left out: the responses are the same text (first at r.jsonl:2)',
      ),
    )

  def test_nothing_left_is_refused(self):
    path = self.write({'prompt': TURNS, 'chosen': 'c', 'rejected': 'c'})
    with self.assertRaisesRegex(
      jsonl.DataError, r'1 of 1 left out: .* at r.jsonl:1\); nothing is left'
    ):
      readers.pairs(path)

  def test_scored_pairs_have_margins(self):
    path = self.write(
      {'prompt': 'q', 'chosen': 'a', 'rejected': 'b'}
      | {'score_chosen': 8.5, 'score_rejected': 6}
    )
    prompt = Prompt((Message('user', 'q'),), '', 'r.jsonl:1')
    self.assertEqual(
      formats.ULTRAFEEDBACK(path),
      [Comparison(prompt, ('a', 'b'), 2.5, (8.5, 6.0))],
    )

  def test_scored_pairs_that_tie_say_so_themselves(self):
    path = self.write(
      {'prompt': 'q', 'chosen': 'a', 'rejected': 'b'}
      | {'score_chosen': 6, 'score_rejected': 6}
    )
    (pair,) = formats.ULTRAFEEDBACK(path)
    self.assertEqual((pair.margin, pair.scores), (0.0, (6.0, 6.0)))

  def test_scored_pairs_of_no_visible_letter_are_left_out(self):
    scores = {'score_chosen': 8.5, 'score_rejected': 6}
    path = self.write(
      {'prompt': 'q', 'chosen': 'a', 'rejected': '\u200b'} | scores,
      {'prompt': 'q', 'chosen': 'a', 'rejected': 'b'} | scores,
    )
    pairs = formats.ULTRAFEEDBACK(path)
    self.assertLen(pairs, 1)
    self.assertEqual(
      pairs.notes[1:],
      (
        'r.jsonl: 1 of 2 left out: the rejected response is empty '
        '(first at r.jsonl:1)',
      ),
    )

  def test_scores_against_the_choice_are_refused(self):
    path = self.write(
      {'prompt': 'q', 'chosen': 'a', 'rejected': 'b'}
      | {'score_chosen': 6, 'score_rejected': 8.5}
    )
    with self.assertRaisesRegex(
      jsonl.DataError, 'r.jsonl:1: the rejected response scores 2.5 more'
    ):
      formats.ULTRAFEEDBACK(path)

  def test_instructions_join_what_they_are_about(self):
    path = self.write(
      {'instruction': 'Add.', 'input': '1 and 2', 'output': '3'},
      {'instruction': 'Go.', 'input': '', 'output': 'No', 'category': 'qa'},
      {'instruction': 'Go.', 'output': 'Yes', 'subsets': ['s']},
    )
    self.assertEqual(
      readers.instructions(path),
      [
        Demonstration(
          Prompt((Message('user', 'Add.\n\n1 and 2'),), '', 'r.jsonl:1'), '3'
        ),
        Demonstration(
          Prompt((Message('user', 'Go.'),), 'qa', 'r.jsonl:2'), 'No'
        ),
        Demonstration(
          Prompt((Message('user', 'Go.'),), '', 'r.jsonl:3'), 'Yes'
        ),
      ],
    )

  def test_problems_have_what_follows_the_mark_as_their_answer(self):
    solution = '3 + 4 = <<3+4=7>>7\nso $7, #### said.\n#### 1,007 '
    path = self.write(
      {'question': 'How many?', 'answer': solution},
      {'id': 1, 'subset': 'sums', 'question': 'And?', 'answer': '#### 2'},
    )
    first = Prompt(
      (Message('user', 'How many?'),), '', 'r.jsonl:1', answer='1,007'
    )
    second = Prompt((Message('user', 'And?'),), 'sums', 'r.jsonl:2', answer='2')
    self.assertEqual(
      readers.problems(path),
      [Demonstration(first, solution), Demonstration(second, '#### 2')],
    )

  def test_problems_without_an_answer_are_placed(self):
    for solution in ('3 + 4 = 7', 'so:\n####  '):
      path = self.write(
        {'question': 'a', 'answer': '#### 1'},
        {'question': 'a', 'answer': solution},
      )
      with self.assertRaisesRegex(
        jsonl.DataError, "r.jsonl:2: field 'answer' must end with ####"
      ):
        readers.problems(path)

  def test_an_empty_response_is_placed(self):
    path = self.write(
      {'instruction': 'a', 'output': 'b'}, {'instruction': 'a', 'output': ' '}
    )
    with self.assertRaisesRegex(
      jsonl.DataError, "r.jsonl:2: field 'output' is empty"
    ):
      readers.instructions(path)

  def tiers(self, *lines):
    return self.write(*({'instruction': 'q', 'outputs': x} for x in lines))

  def test_tiers_are_by_strength_whatever_their_order(self):
    path = self.write(
      {'id': 'ae', 'dataset': 'koala', 'instruction': 'q'}
      | {'outputs': {'instructgpt_001': 'd', 'instructgpt': 'c', 'gpt4': 'a'}
         | {'chatgpt': 'b'}}
      | {'win_vs_instructgpt': {'gpt4': None}}
    )  # fmt: skip
    self.assertEqual(
      readers.tiers(path),
      [
        Comparison(
          asked(1, 'koala'), ('a', 'b', 'c'), scores=(2.0, 1.0, 0.0),
          models=('gpt4', 'chatgpt', 'instructgpt'),
        )
      ],
    )  # fmt: skip
    self.assertEqual(
      readers.strongest(path), [Demonstration(asked(1, 'koala'), 'a')]
    )

  def test_tiers_may_lack_models_and_keep_their_gaps(self):
    path = self.tiers(
      {'gpt4': 'a', 'instructgpt': 'c'}, {'chatgpt': 'b', 'instructgpt': 'c'}
    )
    self.assertEqual(
      readers.tiers(path),
      [
        Comparison(
          asked(1),
          ('a', 'c'),
          scores=(2.0, 0.0),
          models=('gpt4', 'instructgpt'),
        ),
        Comparison(
          asked(2),
          ('b', 'c'),
          scores=(1.0, 0.0),
          models=('chatgpt', 'instructgpt'),
        ),
      ],
    )

  def test_a_text_of_two_models_is_the_strongers(self):
    path = self.tiers(
      {'gpt4': 'a', 'chatgpt': 'b', 'instructgpt': 'a'},
      {'gpt4': 'a', 'chatgpt': 'a', 'instructgpt': 'a'},
      {'gpt4': 'a'},
    )
    tiers = readers.tiers(path)
    expected = Comparison(
      asked(1), ('a', 'b'), scores=(2.0, 1.0), models=('gpt4', 'chatgpt')
    )
    self.assertEqual(tiers, [expected])
    self.assertIn('2 of 3 left out', tiers.notes[0])
    self.assertLen(readers.strongest(path), 3)

  @parameterized.parameters(
    ({}, "r.jsonl:1: field 'outputs' has no text of gpt4"),
    ({'instructgpt_001': 'd'}, "field 'outputs' has no text of gpt4, chatgpt"),
    ({'gpt4': ' '}, "r.jsonl:1: field 'outputs' field 'gpt4' is empty"),
    ({'gpt5': 'a'}, "field 'outputs' has an unknown field 'gpt5'"),
    (['a'], "field 'outputs' must be an object, not a list"),
  )
  def test_bad_tiers_are_told(self, given, told):
    with self.assertRaisesRegex(jsonl.DataError, told):
      readers.tiers(self.tiers(given))
