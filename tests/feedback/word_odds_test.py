"""Odds of words by the counts of a page, and what they say of new texts."""

import math

import numpy as np
from absl.testing import absltest

from rlhf_jax.feedback.word_odds import WordOdds, features
from rlhf_jax.types import Message, Prompt

TEXTS = (('A good film', 1), ('good, good', 1), ('a bad film', 0))


class WordOddsTest(absltest.TestCase):
  def test_features_are_words_and_neighbours_once(self):
    self.assertEqual(
      features("It's good , It's"),
      {"it's", 'good', ',', "it's good", 'good ,', ", it's"},
    )

  def test_odds_by_hand(self):
    odds = WordOdds.of(TEXTS)
    # The first kind: a, good, film, 'a good', 'good film', and good, ',',
    # 'good ,', ', good', each text's once: 9 in all; the other: a, bad, film,
    # 'a bad', 'bad film'. There are 10 that differ, each counted once more.
    every = {'a', 'good', 'film', 'a good', 'good film', ',', 'good ,'}
    every |= {', good', 'bad', 'a bad', 'bad film'}
    self.assertEqual(set(odds.odds), every)
    first, other = 9 + len(every), 5 + len(every)
    self.assertAlmostEqual(
      odds.odds['good'], math.log((3 / first) / (1 / other))
    )
    self.assertAlmostEqual(odds.odds['a'], math.log((2 / first) / (2 / other)))
    self.assertAlmostEqual(
      odds.odds['bad'], math.log((1 / first) / (2 / other))
    )
    self.assertAlmostEqual(odds.prior, math.log(2))

  def test_scores_what_goes_on_from_a_prompt(self):
    odds = WordOdds.of(TEXTS, name='counts')
    self.assertEqual(odds.name, 'counts')
    asked = [Prompt((Message('user', text),)) for text in ('a good', 'never')]
    found = odds(asked, [' film', ' seen'])
    expected = odds.prior + sum(odds.odds[f] for f in features('a good film'))
    np.testing.assert_allclose(found, [expected, odds.prior])


if __name__ == '__main__':
  absltest.main()
