"""Who meets whom, by hand and by what every tournament has to keep."""

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.feedback import pairing


class FirstRoundTest(parameterized.TestCase):
  @parameterized.parameters(
    (0, []),
    (1, []),
    (2, [(0, 1)]),
    (5, [(0, 1), (2, 3)]),
    (8, [(0, 1), (2, 3), (4, 5), (6, 7)]),
  )
  def test_neighbours_meet(self, count, expected):
    self.assertEqual(pairing.first_round(count), expected)

  def test_play_puts_the_winner_first(self):
    matches = [(0, 1), (2, 3), (4, 5)]
    prefer = pairing.by_score([0.0, 1.0, 3.0, 2.0, 5.0, 5.0])
    played = pairing.play(matches, prefer)
    self.assertEqual(played, [(1, 0), (2, 3), (4, 5)])

  def test_of_no_matches_no_one_is_asked(self):
    self.assertEqual(pairing.play([], prefer=None), [])

  def test_as_many_decisions_as_matches(self):
    with self.assertRaisesRegex(ValueError, '1 decisions for 2 matches'):
      pairing.play([(0, 1), (2, 3)], lambda matches: [True])


class TournamentTest(parameterized.TestCase):
  def test_by_hand(self):
    # 1 and 2 win, 4 rests; 2 beats 1; 2 beats 4.
    scores = [0.0, 1.0, 9.0, 2.0, 4.0]
    played = pairing.tournament(5, pairing.by_score(scores))
    self.assertEqual(played, [(1, 0), (2, 3), (2, 1), (2, 4)])

  @parameterized.parameters(*range(10))
  def test_all_but_the_best_lose_once(self, count):
    scores = np.random.default_rng(count).permutation(count)
    played = pairing.tournament(count, pairing.by_score(scores))
    losers = [loser for _, loser in played]
    self.assertLen(set(losers), max(count - 1, 0))
    self.assertLen(losers, max(count - 1, 0))
    if count > 1:
      self.assertEqual(played[-1][0], np.argmax(scores))
      self.assertNotIn(np.argmax(scores), losers)
    for winner, loser in played:
      self.assertGreater(scores[winner], scores[loser])

  def test_whoever_prefers_is_asked_once_a_round(self):
    asked = []

    def prefer(matches):
      asked.append(matches)
      return [False] * len(matches)

    played = pairing.tournament(8, prefer)
    self.assertEqual([len(matches) for matches in asked], [4, 2, 1])
    self.assertEqual(asked[1], [(1, 3), (5, 7)])
    self.assertEqual(played[-1], (7, 3))

  def test_decisions_may_be_arrays(self):
    played = pairing.tournament(3, lambda matches: np.ones(len(matches), bool))
    self.assertEqual(played, [(0, 1), (0, 2)])


class TieTest(absltest.TestCase):
  def test_the_first_wins_and_a_tie_is_left_out(self):
    scores = [1.0, 1.0, 0.0, 2.0]
    played = pairing.tournament(4, pairing.by_score(scores))
    self.assertEqual(played, [(0, 1), (3, 2), (3, 0)])
    self.assertEqual(pairing.decisive(played, scores), played[1:])
