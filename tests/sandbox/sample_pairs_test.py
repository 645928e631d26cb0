"""Pairs of samples, against pairs made by hand."""

from absl.testing import absltest

from rlhf_jax.sandbox import sample_pairs
from rlhf_jax.types import Message, Prompt, Response

BRIEF = Prompt((Message('user', 'what is 6 plus 2 ? brief'),))
FULL = Prompt((Message('user', 'what is 6 plus 2 ? full'),))
COLOUR = Prompt((Message('user', 'what is the last of red and pink ? brief'),))
RIGHT, WRONG = 'it is 8 .', 'it is 9 .'
RUDE, BOTH = 'duh , 8 . stop asking .', '8 or 7 .'
COLOURS = {'red', 'blue', 'green', 'black', 'white'}


class MinimalPairsTest(absltest.TestCase):
  def test_only_the_answer_differs(self):
    said = [RIGHT, WRONG, RUDE, BOTH, 'sure , hope that helps .', '']
    found = sample_pairs.minimal_pairs([BRIEF] * len(said), said)
    self.assertEqual([pair.responses[0] for pair in found], [RIGHT, RUDE])
    for pair, frame in zip(
      found, ('it is {} .', 'duh , {} . stop asking .'), strict=True
    ):
      others = [frame.format(digit) for digit in '012345679']
      self.assertIn(pair.responses[1], others)

  def test_every_place_has_the_same_wrong_word(self):
    reasoned = 'it is 8 . because counting gives 8 .'
    (pair,) = sample_pairs.minimal_pairs([FULL], [reasoned])
    wrong = pair.responses[1].split()
    self.assertEqual(wrong[2], wrong[7])
    self.assertNotEqual(wrong[2], '8')

  def test_wrong_words_are_of_the_pool_and_of_the_row(self):
    said = ['pink .'] * 200
    found = sample_pairs.minimal_pairs([COLOUR] * 200, said)
    wrong = [pair.responses[1].split()[0] for pair in found]
    self.assertEqual(set(wrong), COLOURS)
    # What other rows say changes nothing.
    said[::2] = ['red .'] * 100
    again = sample_pairs.minimal_pairs([COLOUR] * 200, said)
    self.assertEqual([p.responses[1].split()[0] for p in again], wrong[1::2])

  def test_what_was_cut_stays_cut(self):
    cut = Response(RIGHT, ended=False)
    (pair,) = sample_pairs.minimal_pairs([BRIEF], [cut])
    self.assertEqual([r.ended for r in pair.responses], [False, False])


class TwoSamplesTest(absltest.TestCase):
  def test_right_on_wrong_whatever_their_manner(self):
    prompts = [BRIEF, FULL, BRIEF, BRIEF, FULL]
    said = [WRONG, RIGHT, RUDE, BOTH, RIGHT]
    found = sample_pairs.right_on_wrong(prompts, said)
    self.assertEqual(
      [(pair.prompt, pair.responses) for pair in found],
      [(BRIEF, (RUDE, WRONG)), (BRIEF, (RUDE, BOTH))],
    )

  def test_samples_that_are_all_alike_give_none(self):
    for prompts in ([BRIEF] * 2, [BRIEF, FULL]):
      self.assertEqual(sample_pairs.right_on_wrong(prompts, [RIGHT] * 2), [])


if __name__ == '__main__':
  absltest.main()
