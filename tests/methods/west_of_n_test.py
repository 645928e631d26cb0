"""West-of-N's pairs: which two samples meet, by whom, and which pairs stay."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.methods import west_of_n
from rlhf_jax.types import Comparison, Sampled
from tests.methods.fake_queries import FakeQueries, prompt

NAN = math.nan


def sampled(texts, scores=None, asked=None):
  """Samples of one letter each, the first of which was cut."""
  return Sampled(
    asked or prompt(),
    tuple(texts),
    ended=(False,) + (True,) * (len(texts) - 1),
    lengths=tuple(range(1, len(texts) + 1)),
    logps=(-1.0,) * len(texts),
    scores=scores,
  )


def by_reward(records, **options):
  return west_of_n.by_reward(
    records, FakeQueries().queries, config=west_of_n.Config(**options)
  )


# What is said, its scores, and the pair by hand, if there is one.
CASES = {
  'of all samples': ('abcde', (1.0, 4.0, -2.0, 3.0, 0.0), 'bc'),
  'the first of equal ones': ('abcd', (2.0, 0.0, 2.0, 0.0), 'ab'),
  'equal scores': ('abc', (1.0, 1.0, 1.0), None),
  'equal texts': ('aaa', (1.0, 2.0, 3.0), None),
  'the same text at both ends': ('aba', (1.0, 2.0, 3.0), None),
  'without a score it is neither': ('abcd', (NAN, 1.0, 2.0, NAN), 'cb'),
  'what says nothing is neither': (' ab ', (0.0, 1.0, 2.0, 3.0), 'ba'),
  'one score alone': ('ab', (NAN, 1.0), None),
  'no score': ('ab', (NAN, NAN), None),
}


class ByRewardTest(parameterized.TestCase):
  @parameterized.named_parameters((name, *case) for name, case in CASES.items())
  def test_pairs_by_hand(self, texts, scores, expected):
    made = by_reward([sampled(texts, scores)], weight=0.5).records
    pair = Comparison(prompt(), tuple(expected or ''), weight=0.5)
    self.assertEqual(made, [pair] if expected else [])

  def test_each_prompt_has_its_own_and_what_was_cut_stays_cut(self):
    one, two = prompt('one'), prompt('two')
    made = by_reward(
      [sampled('abc', (0.0, 1.0, 3.0), one), sampled('de', (5.0, 1.0), two)]
    ).records
    self.assertEqual(
      made, [Comparison(one, ('c', 'a')), Comparison(two, ('d', 'e'))]
    )
    self.assertEqual([said.ended for said in made[0].responses], [True, False])

  # Gaps of 1, 4, 2 and 3, and of none: shares of the four pairs there are.
  @parameterized.parameters(
    (1.0, '0123'), (0.75, '123'), (0.5, '13'), (0.51, '123'), (0.01, '1')
  )
  def test_the_share_that_it_is_most_sure_of(self, share, expected):
    gaps = (1.0, 4.0, 2.0, 3.0)
    records = [
      sampled('ab', (gap, 0.0), prompt(str(i))) for i, gap in enumerate(gaps)
    ]
    records.append(sampled('ab', (1.0, 1.0)))
    written = by_reward(records, most_sure=share, batch_size=None)
    self.assertEqual(
      [made.prompt.text for made in written.records], list(expected)
    )
    kept = np.array([gaps[int(name)] for name in expected])
    facts = {name: float(mean.value) for name, mean in written.facts.items()}
    self.assertAlmostEqual(facts['accepted'], len(kept) / 5)
    self.assertAlmostEqual(facts['reward_gap'], kept.mean(), places=6)
    self.assertAlmostEqual(
      facts['confidence'], np.mean(1.0 / (1.0 + np.exp(-kept))), places=6
    )

  def test_a_share_is_of_all_at_once(self):
    with self.assertRaisesRegex(ValueError, 'set batch_size to None'):
      west_of_n.Config(most_sure=0.5)

  def test_samples_without_scores_are_refused(self):
    with self.assertRaisesRegex(ValueError, 'the samples have no scores'):
      by_reward([sampled('ab')])


class ByRankerTest(absltest.TestCase):
  def ask(self, records, odds, **options):
    fake = FakeQueries(log_odds=lambda a, b: odds[a + b])
    written = west_of_n.by_ranker(
      records, fake.queries, config=west_of_n.Config(**options)
    )
    return written, fake

  def test_best_and_worst_by_log_odds_over_the_first(self):
    odds = {'ba': 2.0, 'ca': -1.0, 'da': 0.5, 'bc': 1.5}
    written, fake = self.ask([sampled('abbcda')], odds, weight=2.0)
    self.assertEqual(
      written.records, [Comparison(prompt(), ('b', 'c'), weight=2.0)]
    )
    confidence = written.facts['confidence'].value
    self.assertAlmostEqual(
      float(confidence), 1.0 / (1.0 + math.exp(-1.5)), places=6
    )
    # Each text once, then the two that were found.
    asked = [[''.join(c.responses) for c in call] for call in fake.preferred]
    self.assertEqual(asked, [['ba', 'ca', 'da'], ['bc']])

  def test_what_it_would_turn_round_or_cannot_say_is_no_pair(self):
    records = [sampled('ab'), sampled('cd'), sampled('ef'), sampled('gg')]
    odds = {'ba': 1.0, 'dc': -1.0, 'cd': -0.1, 'fe': NAN}
    written, _ = self.ask(records, odds)
    self.assertEqual([m.responses for m in written.records], [('b', 'a')])


if __name__ == '__main__':
  absltest.main()
