"""What is made of people's choices, against worked numbers."""

import json
import pathlib
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import annotators, statistics
from rlhf_jax.evaluation.annotators import Choice
from rlhf_jax.types import Message, Prompt

# Fourteen raters, ten items, five categories; its kappa is printed as 0.210.
FLEISS = [
  [0, 0, 0, 0, 14],
  [0, 2, 6, 4, 2],
  [0, 0, 3, 5, 6],
  [0, 3, 9, 2, 0],
  [2, 2, 8, 1, 1],
  [7, 7, 0, 0, 0],
  [3, 2, 6, 3, 0],
  [2, 5, 3, 2, 2],
  [6, 5, 2, 1, 0],
  [0, 2, 2, 3, 7],
]


def asked(text, kind=''):
  return Prompt((Message('user', text),), kind)


def choices(*said, left=None):
  """{'ann': '12=', 'bob': …}: a letter a pair, a space where none is given."""
  words = {'1': 1, '2': 2, '=': 'equal', '?': 'unsure', '-': 'skip'}
  return [
    Choice(str(i), asked(f'q{i}'), name, words[letter], left)
    for name, letters in said
    for i, letter in enumerate(letters)
    if letter != ' '
  ]


class KappaTest(parameterized.TestCase):
  def test_the_example_of_the_textbooks(self):
    alike, found = annotators.kappa(np.array(FLEISS), np.arange(10))
    self.assertAlmostEqual(alike.value, 0.378, places=3)
    self.assertAlmostEqual(found.value, 0.210, places=3)
    self.assertLess(found.low, found.value)
    self.assertLess(found.value, found.high)

  def test_items_of_two_verdicts_and_of_three(self):
    # P = (1 + 1/3) / 2; p = ((1 + 2/3) / 2, (0 + 1/3) / 2).
    _, found = annotators.kappa(np.array([[2, 0], [2, 1]]), np.arange(2))
    chance = (5 / 6) ** 2 + (1 / 6) ** 2
    self.assertAlmostEqual(found.value, (2 / 3 - chance) / (1 - chance))

  def test_what_cannot_be(self):
    with self.assertRaisesRegex(ValueError, 'two or more verdicts'):
      annotators.kappa(np.array([[1, 0]]), np.arange(1))
    _, found = annotators.kappa(np.array([[2, 0], [3, 0]]), np.arange(2))
    self.assertTrue(np.isnan(found.value))


class AgreementTest(absltest.TestCase):
  def test_chance_has_both_responses_alike(self):
    # Alike on 3 of 4 pairs; of 8 verdicts 5 prefer one, and 3 are 'equal'.
    found = annotators.agreement(choices(('ann', '1112='), ('bob', ' 11==')))
    chance = 2 * (5 / 16) ** 2 + (3 / 8) ** 2
    self.assertEqual(found.pairs, 4)
    self.assertAlmostEqual(found.alike.value, 0.75)
    self.assertAlmostEqual(found.kappa.value, (0.75 - chance) / (1 - chance))

  def test_who_always_agrees_has_one_whoever_is_better(self):
    found = annotators.agreement(choices(('ann', '1111'), ('bob', '1111')))
    self.assertEqual(found.kappa.value, 1.0)
    self.assertLess(found.kappa.low, 0.7)  # Four pairs do not say much.

  def test_the_undecided_and_the_lone_say_nothing(self):
    said = choices(('ann', '1?-2'), ('bob', '  1?'), ('', '='))
    self.assertIsNone(annotators.agreement(said))

  def test_two_who_toss_coins_agree_by_chance(self):
    generator = np.random.default_rng(0)
    letters = [''.join(generator.choice(['1', '2'], 400)) for _ in range(2)]
    found = annotators.agreement(choices(*zip('ab', letters, strict=True)))
    self.assertLess(found.kappa.low, 0.0)
    self.assertGreater(found.kappa.high, 0.0)
    self.assertLess(abs(found.kappa.value), 0.15)


class WinsTest(absltest.TestCase):
  def test_each_pair_counts_the_same(self):
    # Pairs: (1 + 1 + 0) / 3, ½ of the same text, 0, none.
    said = choices(('ann', '1=2?'), ('bob', '1  -'), ('cy', '2'))
    found = annotators.human_win_rate(said)
    self.assertAlmostEqual(found.value, (2 / 3 + 0.5 + 0.0) / 3)
    self.assertEqual((found.count, found.ties, found.missing), (3, 1, 1))
    self.assertIsNone(annotators.human_win_rate(choices(('ann', '?-'))))

  def test_of_one_verdict_a_pair_it_is_wilsons_interval(self):
    found = annotators.human_win_rate(choices(('ann', '1' * 14 + '2' * 6)))
    low, high = statistics.wilson(0.7, 20)
    self.assertAlmostEqual(found.low, low, places=6)
    self.assertAlmostEqual(found.high, high, places=6)

  def test_how_often_the_left_one_is_preferred(self):
    said = choices(('ann', '1112=?'), left=1)
    self.assertEqual(annotators.left_share(said).value, 0.75)
    self.assertIsNone(annotators.left_share(choices(('ann', '1'))))


class CreditsTest(absltest.TestCase):
  def test_by_texts_in_either_order(self):
    def chosen(text, said, *responses):
      return Choice('0', asked(text), 'ann', said, responses=responses)

    choices = [
      chosen('q', 1, 'a', 'b'),
      chosen('q', 1, 'b', 'a '),
      chosen('q', 1, 'a', 'b'),
      chosen('r', 'equal', 'a', 'b'),
      chosen('s', 'skip', 'a', 'b'),
    ]
    prompts = [asked(text) for text in 'qrsq']
    found = annotators.credits(
      choices, prompts, ['a', 'b', 'a', 'a'], ['b', 'a', 'b', 'c']
    )
    np.testing.assert_allclose(found, [2 / 3, 0.5, np.nan, np.nan])


class ReadTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    folder = self.enterContext(tempfile.TemporaryDirectory())
    self.path = pathlib.Path(folder) / 'choices.jsonl'
    self.row = {
      'prompt': [{'role': 'user', 'content': 'q'}],
      'response_1': 'a',
      'response_2': 'b',
      'choice': 2,
      'pair': '0f',
      'annotator': 'ann',
      'left': 2,
      'subset': 'k',
      'policy_1': 'sft',
      'policy_2': 'ppo',
    }

  def test_a_line_is_a_choice(self):
    self.path.write_text(json.dumps(self.row) + '\n')
    prompt = asked('q', 'k')._replace(where='choices.jsonl:1')
    self.assertEqual(
      annotators.read(self.path),
      [Choice('0f', prompt, 'ann', 2, 2, ('sft', 'ppo'), ('a', 'b'))],
    )
    self.path.write_text('')
    self.assertEqual(annotators.read(self.path), [])

  def test_other_lines_are_told(self):
    for lacking in ('choice', 'pair', 'prompt', 'annotator'):
      row = {k: v for k, v in self.row.items() if k != lacking}
      self.path.write_text(json.dumps(row) + '\n')
      with self.assertRaisesRegex(ValueError, r'choices.jsonl:1: nobody chose'):
        annotators.read(self.path)
    self.path.write_text(json.dumps(self.row | {'left': 3}) + '\n')
    with self.assertRaisesRegex(ValueError, r'choices.jsonl:1: field .left.'):
      annotators.read(self.path)


if __name__ == '__main__':
  absltest.main()
