"""SLiC's pairs and what is imitated beside; a text is worth its number."""

import collections
import itertools

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.feedback import judging
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import slic
from rlhf_jax.types import Comparison, Demonstration
from tests.methods.fake_queries import FakeQueries, numbers, prompt

SHUFFLED = numbers(*np.random.default_rng(0).permutation(8))
RECORDS = [Demonstration(prompt('a'), '9'), Demonstration(prompt('b'), '-9')]


def build(texts, records=None, *, seeds=None, log_odds=None, **options):
  fake = FakeQueries(texts, seeds=seeds, log_odds=log_odds)
  records = records or RECORDS[: len(texts)]
  config = slic.Pairs(**options)
  return slic.build(records, fake.queries, config=config), fake


class OrderedTest(parameterized.TestCase):
  def test_pairs_respect_the_scores_and_the_number(self):
    written, fake = build([SHUFFLED, SHUFFLED])
    self.assertEqual(
      collections.Counter(c.prompt for c in written),
      {record.prompt: 8 for record in RECORDS},
    )
    for c in written:
      better, worse = map(float, c.responses)
      self.assertGreater(better, worse)
    for record in RECORDS:
      pairs = [c.responses for c in written if c.prompt == record.prompt]
      self.assertLen(set(pairs), 8)  # None twice.
    self.assertEqual(fake.sampled, [(8, Sampling(temperature=0.7, top_k=40))])

  def test_samples_are_asked_for_as_the_config_says(self):
    sampling = Sampling(temperature=0.5)
    _, fake = build([SHUFFLED], samples=5, sampling=sampling)
    self.assertEqual(fake.sampled, [(5, sampling)])

  def test_a_seed_draws_the_pairs(self):
    def pairs(seed):
      return [c.responses for c in build([SHUFFLED], seeds=[seed])[0]]

    self.assertEqual(pairs(3), pairs(3))
    self.assertNotEqual(set(pairs(3)), set(pairs(4)))

  def test_all_pairs_are_as_likely(self):
    scores = np.array([0.0, 2.0, 1.0, 3.0])
    seen = collections.Counter()
    for seed in range(600):
      drawn = slic.ordered(4, scores, None, seed)
      self.assertLen(drawn, 4)
      seen.update(drawn)
    by_rank = itertools.combinations([3, 1, 2, 0], 2)
    self.assertEqual(set(seen), set(by_rank))
    for count in seen.values():  # 400 ± 12 by 4 of 6.
      self.assertBetween(count, 350, 450)

  @parameterized.parameters(
    ([1.0, 2.0], [(1, 0)]),  # There are no more.
    ([1.0, 1.0], []),
    ([1.0], []),
    ([5.0, 5.0, 1.0], [(0, 2), (1, 2)]),
  )
  def test_fewer_pairs_than_responses(self, scores, expected):
    drawn = slic.ordered(len(scores), scores, None, 0)
    self.assertCountEqual(drawn, expected)

  def test_equal_texts_count_once(self):
    written, fake = build([numbers(1, 2, 2, 1, 1, 2, 1, 1)])
    self.assertEqual([c.responses for c in written], [('2', '1')])
    ((scored,),) = fake.scored
    self.assertEqual(scored.responses, ('1', '2'))
    self.assertEqual(build([['1'] * 8])[0], [])


class TournamentTest(parameterized.TestCase):
  def ranked(self, texts, log_odds, pair=slic.tournament):
    return build([texts], judge=judging.by_ranker, pair=pair, log_odds=log_odds)

  def test_the_ranker_says_who_wins(self):
    written, fake = self.ranked(
      numbers(4, 6, 1, 3), lambda a, b: float(a) - float(b)
    )
    self.assertEqual(
      [c.responses for c in written], [('6', '4'), ('3', '1'), ('6', '3')]
    )
    self.assertEqual([c.prompt for c in written], [RECORDS[0].prompt] * 3)
    # Against the first, then a call a round.
    self.assertEqual([len(pairs) for pairs in fake.preferred], [3, 2, 1])
    self.assertEqual(fake.scored, [])

  def test_what_the_ranker_prefers_wins_whatever_the_scores(self):
    odds = {('b', 'a'): 2.0, ('c', 'a'): 1.0, ('a', 'b'): 0.5, ('a', 'c'): 0.1}
    written, _ = self.ranked(['a', 'b', 'c'], lambda a, b: odds[a, b])
    self.assertEqual([c.responses for c in written], [('a', 'b'), ('a', 'c')])

  def test_equal_scores_that_decide_make_no_pair(self):
    # 1 and 01 say the same number in other words.
    written, _ = build([['1', '01', '0', '2']], pair=slic.tournament)
    self.assertEqual([c.responses for c in written], [('2', '0'), ('2', '1')])


class TargetTest(parameterized.TestCase):
  def test_the_demonstration(self):
    written, fake = build([SHUFFLED, SHUFFLED])
    self.assertEqual(
      {(c.prompt, c.target) for c in written},
      {(record.prompt, record.response) for record in RECORDS},
    )
    (scored,) = fake.scored  # It is not among what is ranked.
    self.assertEqual([len(c.responses) for c in scored], [8, 8])

  @parameterized.parameters(
    (RECORDS[0],), (prompt('a'),), (Comparison(prompt('a'), ('x', 'y')),)
  )
  def test_the_best_sample_needs_no_demonstration(self, record):
    written, _ = build([SHUFFLED], [record], target=slic.best_sampled)
    self.assertEqual({c.prompt for c in written}, {prompt('a')})
    self.assertEqual({c.target for c in written}, {'7'})

  def test_the_best_sample_by_a_ranker(self):
    written, _ = build(
      [numbers(4, 6, 1, 3)],
      judge=judging.by_ranker,
      pair=slic.tournament,
      target=slic.best_sampled,
      log_odds=lambda a, b: float(a) - float(b),
    )
    self.assertEqual({c.target for c in written}, {'6'})

  @parameterized.parameters(
    (prompt('a'),), (Comparison(prompt('a'), ('x', 'y')),)
  )
  def test_no_demonstration_is_told_in_a_sentence(self, record):
    with self.assertRaisesRegex(
      ValueError,
      'have no demonstrations to imitate; name a dataset of demonstrations, '
      'or set target to best_sampled',
    ) as caught:
      build([SHUFFLED], [record])
    self.assertNotIn('\n', str(caught.exception))


class StagesTest(absltest.TestCase):
  def test_a_ranker_is_frozen_in_its_own_role(self):
    (stage,) = slic.pair_stages(slic.Pairs(), judge='rm').values()
    self.assertEqual(stage.frozen, {'reward': 'rm'})
    (stage,) = slic.pair_stages(
      slic.Pairs(judge=judging.by_ranker), judge='ranker'
    ).values()
    self.assertEqual(stage.frozen, {'ranker': 'ranker'})

  def test_no_reference_is_kept(self):
    (stage,) = slic.stages(slic.Config(steps=1)).values()
    self.assertEqual((stage.frozen, stage.precompute), ({}, None))


if __name__ == '__main__':
  absltest.main()
