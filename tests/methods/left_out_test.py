"""What could not be scored or was cut, wherever a dataset is made of samples.

A text is worth the number it says, so that `nan` has no score; `…` marks one
that the token limit cut.
"""

import functools

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.feedback import judging, sampled_pairs
from rlhf_jax.methods import (
  best_of_n,
  candidates,
  labels,
  preferences,
  rejection_sampling,
  rlp,
  rso,
  slic,
)
from rlhf_jax.methods.rlp import consistency
from rlhf_jax.types import Comparison, Demonstration, Mean, Sampled
from tests.methods.fake_queries import FakeQueries, prompt

WHO = prompt()
TEXTS = ['2', 'nan', '1', '0']


def said(records):
  """Every response in records."""
  found = []
  for record in records:
    one = getattr(record, 'response', None)
    found += record.responses if one is None else [one]
    found += [record.target] if getattr(record, 'target', None) else []
  return found


def drawn(scores, responses=tuple('abcd'), ended=None):
  count = len(responses)
  ended = ended or (True,) * count
  return Sampled(WHO, responses, ended, (2,) * count, (-1.0,) * count, scores)


class UnscoredTest(parameterized.TestCase):
  @parameterized.parameters(
    (best_of_n.build, best_of_n.Config(), {'2'}),
    (candidates.build, candidates.Config(), {'2', '1', '0'}),
    (labels.build, labels.Config(samples=4), {'2', '1', '0'}),
    (rejection_sampling.fill, rejection_sampling.Bag(), {'2', '1', '0'}),
    (rso.build, rso.Pairs(samples=4, kept=4), {'2', '1', '0'}),
    (rso.build, rso.Pairs(samples=4, kept=4, select=rso.first), {'2', '1'}),
    (slic.build, slic.Pairs(target=slic.best_sampled), {'2', '1', '0'}),
    (
      slic.build,
      slic.Pairs(target=slic.best_sampled, pair=slic.tournament),
      {'2', '1', '0'},
    ),
  )
  def test_it_is_nowhere_and_the_others_stay(self, build, config, expected):
    fake = FakeQueries([TEXTS], seeds=[3])
    written = build([WHO], fake.queries, config=config)
    self.assertLessEqual(set(said(written)), {'2', '1', '0'})
    if not isinstance(config, rso.Pairs) or config.select is rso.first:
      self.assertEqual(set(said(written)), expected)
    self.assertNotEmpty(written)

  @parameterized.parameters(
    (best_of_n.build, best_of_n.Config()),
    (candidates.build, candidates.Config()),
    (labels.build, labels.Config(samples=4)),
    (rejection_sampling.fill, rejection_sampling.Bag()),
    (rso.build, rso.Pairs(samples=4, kept=4)),
    (slic.build, slic.Pairs(target=slic.best_sampled)),
  )
  def test_a_prompt_without_any_score_has_nothing(self, build, config):
    fake = FakeQueries([['nan', 'nan ']], seeds=[3])
    self.assertEmpty(build([WHO], fake.queries, config=config))

  def test_a_selection_over_bags_leaves_it_out(self):
    bags = [Comparison(WHO, ('nan', '1')), Comparison(WHO, ('0',))]
    (found,) = rejection_sampling.choose(
      bags, FakeQueries().queries, config=rejection_sampling.Selection()
    )
    self.assertEqual(found, Demonstration(WHO, '1'))

  def test_a_ranker_without_a_verdict_prefers_nobody(self):
    def odds(a, b):
      return np.nan if '9' in (a, b) else float(a) - float(b)

    fake = FakeQueries([['4', '9', '1', '3']], log_odds=odds)
    written = slic.build(
      [WHO],
      fake.queries,
      config=slic.Pairs(
        judge=judging.by_ranker, pair=slic.tournament, target=slic.best_sampled
      ),
    )
    # Of 4, 1 and 3, the last rests once.
    self.assertEqual([c.responses for c in written], [('4', '1'), ('4', '3')])

  def test_a_match_without_a_verdict_is_lost_by_both(self):
    def odds(a, b):  # Known against the first one, and not among the others.
      return 1.0 if b == '4' else np.nan

    fake = FakeQueries([['4', '6', '1', '3']], log_odds=odds)
    config = slic.Pairs(
      judge=judging.by_ranker, pair=slic.tournament, target=slic.best_sampled
    )
    written = slic.build([WHO], fake.queries, config=config)
    self.assertEqual([c.responses for c in written], [])

  def test_an_annotator_without_a_verdict_makes_no_pair(self):
    asked = [prompt('a'), prompt('b')]
    fake = FakeQueries([('x', 'xx'), ('y', 'yy')])
    config = preferences.Config(
      annotate=lambda prompt, a, b, seed: None if a == 'x' else True, count=2
    )
    written = preferences.build(asked, fake.queries, config=config)
    self.assertEqual(written, [Comparison(asked[1], ('y', 'yy'))])
    self.assertEqual(written.facts, {'undecided_share': Mean(1.0, 2.0)})

  def test_a_person_who_cannot_say_ranks_nothing(self):
    def annotate(prompt, a, b, seed):
      return None if '9' in (a, b) else float(a) > float(b)

    fake = FakeQueries([['1', '9', '3']])
    judged = judging.by_annotator(
      [WHO], [['1', '9', '3']], fake.queries, annotate=annotate
    )
    # Nobody said anything of the second one: it is not the worst.
    np.testing.assert_array_equal(judged.scores, [[0.0, np.nan, 1.0]])
    matches = [(0, 1), (1, 2), (0, 2), (2, 0)]
    self.assertEqual(judged.prefer[0](matches), [None, None, False, True])


class RlpTest(parameterized.TestCase):
  @parameterized.parameters(
    ((np.nan, 1.0, 2.0, 0.0), 2),  # Two of the group of three are scored.
    ((np.nan, np.nan, 2.0, 0.0), None),  # A tie of one and one: the best.
  )
  def test_a_sample_without_a_score_is_in_no_pair(self, rewards, chosen):
    for choose in (consistency.best_scored, consistency.any_member):
      for seed in range(8):
        made = consistency.pair(
          [0, 0, 0, 1],
          list('uabc'),
          rewards,
          gamma=0.0,
          generator=np.random.default_rng(seed),
          choose=choose,
        )
        self.assertTrue(np.isfinite(rewards[made.chosen]))
        self.assertTrue(np.isfinite(rewards[made.rejected]))
        if choose is consistency.best_scored and chosen is not None:
          self.assertEqual(made.chosen, chosen)

  def test_it_counts_among_the_samples(self):
    options = {'generator': np.random.default_rng(0)}
    labels = [0, 0, 0, 1]
    rewards = [np.nan, 1.0, 2.0, 0.0]
    reached = consistency.pair(labels, 'uabc', rewards, gamma=0.5, **options)
    self.assertIsInstance(reached, consistency.Pair)
    missed = consistency.pair(labels, 'uabc', rewards, gamma=0.75, **options)
    self.assertEqual(missed, consistency.Rejected.LOW_CONFIDENCE)
    none = consistency.pair(labels, 'uabc', [np.nan] * 4, gamma=0.0, **options)
    self.assertEqual(none, consistency.Rejected.EMPTY)

  def test_two_samples_of_which_one_has_no_score_are_no_pair(self):
    records = [drawn((np.nan, 1.0, 0.0, 0.0)), drawn((0.0, 1.0, 0.0, 0.0))]
    written = rlp.labelled.by_reward(
      records, FakeQueries().queries, config=sampled_pairs.PairConfig()
    )
    self.assertEqual([r.responses for r in written.records], [('b', 'a')])


class CutTest(parameterized.TestCase):
  def test_the_best_sample_to_imitate_ended(self):
    fake = FakeQueries([['1', '…7', '3']])
    config = slic.Pairs(target=slic.best_sampled)
    written = slic.build([WHO], fake.queries, config=config)
    self.assertEqual({c.target for c in written}, {'3'})
    # What was cut is compared, as it is.
    self.assertIn(('7', '1'), [c.responses for c in written])
    ended = {r: r.ended for c in written for r in c.responses}
    self.assertEqual(ended, {'1': True, '7': False, '3': True})
    fake = FakeQueries([['…1', '…7']])
    self.assertEmpty(slic.build([WHO], fake.queries, config=config))

  @parameterized.parameters(
    (rso.build, rso.Pairs(samples=3, kept=2, select=rso.first)),
    (slic.build, slic.Pairs(target=slic.best_sampled)),
    (candidates.build, candidates.Config(cut=True)),
  )
  def test_of_equal_texts_the_one_that_ended_counts(self, build, config):
    fake = FakeQueries([['…2', '1', '2']])
    (found,) = build([WHO], fake.queries, config=config)
    self.assertEqual(found.responses, ('2', '1'))
    self.assertEqual([r.ended for r in found.responses], [True, True])

  def test_candidates_take_those_that_were_cut_where_it_says_so(self):
    build = functools.partial(candidates.build, [WHO])
    fake = FakeQueries([['1', '…7', '3']])
    (found,) = build(fake.queries, config=candidates.Config())
    self.assertEqual(found.responses, ('3', '1'))
    (found,) = build(fake.queries, config=candidates.Config(cut=True))
    self.assertEqual(found.responses, ('7', '3', '1'))
    self.assertEqual([r.ended for r in found.responses], [False, True, True])

  @parameterized.parameters(
    (rso.build, rso.Pairs(samples=2, kept=2, select=rso.first)),
    (slic.build, slic.Pairs(target=lambda *_: 'x')),
    (
      preferences.build,
      preferences.Config(annotate=lambda p, a, b, s: a > b, count=1),
    ),
  )
  def test_a_pair_says_which_one_was_cut(self, build, config):
    (pair,) = build([WHO], FakeQueries([['…2', '1']]).queries, config=config)
    self.assertEqual(pair.responses, ('2', '1'))
    self.assertEqual([r.ended for r in pair.responses], [False, True])

  def test_synthetic_pairs_say_which_one_was_cut(self):
    record = drawn((2.0, 1.0), ('a', 'b'), (False, True))
    (pair,) = rlp.labelled.by_reward(
      [record], FakeQueries().queries, config=sampled_pairs.PairConfig()
    )
    self.assertEqual(pair.responses, ('a', 'b'))
    self.assertEqual([r.ended for r in pair.responses], [False, True])


if __name__ == '__main__':
  absltest.main()
