"""RSO's pairs: who is kept, who meets, who wins. A text is worth its number."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import addressing
from rlhf_jax.feedback import judging, pairing
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.kernels import selection
from rlhf_jax.methods import rso
from rlhf_jax.types import Comparison, Demonstration
from tests.methods.fake_queries import FakeQueries, numbers, prompt

ASKED = [prompt('a'), prompt('b')]
SHUFFLED = numbers(*np.random.default_rng(0).permutation(16) / 4)


def config(**options):
  return rso.Pairs(**({'samples': 16, 'kept': 8} | options))


def build(texts, options=None, records=None, **of):
  fake = FakeQueries(texts, **of)
  records = records or ASKED[: len(texts)]
  written = rso.build(records, fake.queries, config=config(**(options or {})))
  return written, fake


class RsoTest(parameterized.TestCase):
  def test_pairs_are_disjoint_and_follow_the_scores(self):
    written, _ = build([SHUFFLED, SHUFFLED[::-1]])
    for asked in ASKED:
      pairs = [c for c in written if c.prompt == asked]
      self.assertLen(pairs, 4)  # Of the 8 kept.
      texts = [text for c in pairs for text in c.responses]
      self.assertLen(set(texts), 8)
      self.assertContainsSubset(texts, SHUFFLED)
      for c in pairs:
        self.assertEqual(c.scores, tuple(map(float, c.responses)))
        self.assertGreater(c.scores[0], c.scores[1])

  def test_kept_are_those_of_the_selection_in_its_order(self):
    def odd(key, scores, candidate_mask, *, count):
      del key
      right = jnp.all(scores == np.array(SHUFFLED, np.float32))
      right &= jnp.all(candidate_mask)
      return jnp.arange(2 * count - 1, 0, -2), jnp.full(count, right)

    written, _ = build([SHUFFLED], {'select': odd})
    met = [SHUFFLED[i] for i in range(15, 0, -2)]
    self.assertEqual(
      [set(c.responses) for c in written],
      [set(met[i : i + 2]) for i in range(0, 8, 2)],
    )

  def test_rejection_sampling_takes_the_record_s_seed(self):
    written, _ = build([SHUFFLED], seeds=[11])
    indices, _ = selection.rejection_sample(
      jax.random.key(11),
      np.array(SHUFFLED, np.float32),
      np.ones(16, bool),
      beta=0.5,
      count=8,
    )
    kept = [SHUFFLED[i] for i in np.asarray(indices)]
    self.assertEqual(
      [set(c.responses) for c in written],
      [set(kept[i : i + 2]) for i in range(0, 8, 2)],
    )
    self.assertEqual(build([SHUFFLED], seeds=[11])[0], written)
    self.assertNotEqual(build([SHUFFLED], seeds=[12])[0], written)

  def test_a_smaller_beta_keeps_better_ones(self):
    def mean_kept(beta):
      select = functools.partial(selection.rejection_sample, beta=beta)
      records = [prompt(f'{i}') for i in range(40)]
      written, _ = build([SHUFFLED] * 40, {'select': select}, records)
      return np.mean([c.scores for c in written])

    # Of 16 from 0 to 3.75 the best 8 have the mean 2.875, and all 1.875.
    self.assertAlmostEqual(mean_kept(1e-3), 2.875, places=5)
    self.assertBetween(mean_kept(0.5), 2.2, 2.875)
    self.assertAlmostEqual(mean_kept(1e6), 1.875, delta=0.15)  # 0.05 a sigma.

  def test_first_takes_the_first(self):
    written, _ = build([SHUFFLED], {'select': rso.first})
    self.assertEqual(
      [set(c.responses) for c in written],
      [set(SHUFFLED[i : i + 2]) for i in range(0, 8, 2)],
    )

  def test_equal_scores_make_no_pair(self):
    texts = [['a', 'b', 'c', 'd', 'e', 'f']]
    worth = {'a': 1, 'b': 1, 'c': 0, 'd': 2, 'e': 3, 'f': 3}.get
    options = {'samples': 6, 'kept': 6, 'select': rso.first}
    written, _ = build(texts, options, worth=worth)
    self.assertEqual([c.responses for c in written], [('d', 'c')])
    self.assertEqual(written[0].scores, (2.0, 0.0))

  @parameterized.parameters(
    (rso.first,), (functools.partial(selection.rejection_sample, beta=0.5),)
  )
  def test_fewer_texts_than_are_to_be_kept(self, select):
    # 16 samples of 5 different texts: all are kept, and one sits out.
    texts = [(numbers(1, 2, 3, 4, 5) * 4)[:16], ['7'] * 16]
    written, fake = build(texts, {'select': select})
    self.assertLen(written, 2)
    found = [text for c in written for text in c.responses]
    self.assertLen(set(found), 4)
    self.assertEqual({c.prompt for c in written}, {ASKED[0]})
    (scored,) = fake.scored
    self.assertEqual([len(c.responses) for c in scored], [5, 1])

  def test_equal_texts_keep_the_first_s_place(self):
    texts = [numbers(3, 1, 3, 1, 2, 5)]
    options = {'samples': 6, 'kept': 4, 'select': rso.first}
    written, _ = build(texts, options)
    self.assertEqual([c.responses for c in written], [('3', '1'), ('5', '2')])

  def test_a_tournament_has_one_match_less_than_there_are_kept(self):
    options = {'select': rso.first, 'pair': pairing.tournament}
    written, _ = build([SHUFFLED], options)
    self.assertLen(written, 7)
    losers = [c.responses[1] for c in written]
    self.assertLen(set(losers), 7)
    best = max(SHUFFLED[:8], key=float)
    self.assertEqual(written[-1].responses[0], best)

  def test_what_a_record_has_besides_its_prompt_is_not_looked_at(self):
    records = [
      Demonstration(ASKED[0], 'x'),
      Comparison(ASKED[1], ('y', 'z')),
    ]
    for options in ({}, {'judge': judging.by_ranker}):
      of = {'log_odds': lambda a, b: float(a) - float(b)} if options else {}
      texts = [SHUFFLED] * 2
      found, fake = build(texts, options, records, **of)
      self.assertEqual(found, build(texts, options, **of)[0])
      for asked in (*fake.scored, *fake.preferred):
        self.assertContainsSubset({c.prompt for c in asked}, ASKED)

  def test_samples_are_asked_for_as_the_config_says(self):
    _, fake = build([SHUFFLED])
    self.assertEqual(fake.sampled, [(16, Sampling(temperature=0.7, top_k=40))])
    config = rso.Pairs(samples=20, sampling=Sampling(temperature=0.5))
    fake = FakeQueries([SHUFFLED])
    rso.build([prompt()], fake.queries, config=config)
    self.assertEqual(fake.sampled, [(20, Sampling(temperature=0.5))])

  def test_keeping_more_than_there_are_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'kept is 1; it must be 2 or more'):
      config(kept=1)
    with self.assertRaisesRegex(ValueError, 'kept is 17; .* than samples, 16'):
      config(kept=17)


class RankerTest(parameterized.TestCase):
  """Judged by a ranker; the log-odds of a to b are a − b unless said."""

  def built(self, texts, log_odds, **options):
    options = {
      'samples': len(texts[0]),
      'kept': len(texts[0]),
      'select': rso.first,
      'judge': judging.by_ranker,
    } | options
    return build(texts, options, log_odds=log_odds)

  def test_scores_are_against_the_first_and_the_winner_is_asked_for(self):
    def log_odds(a, b):
      return float(a) - float(b)

    written, fake = self.built([numbers(4, 6, 1, 3)], log_odds)
    # Who wins is asked pair by pair, and is not what the scores are of.
    self.assertEqual([c.responses for c in written], [('6', '4'), ('3', '1')])
    self.assertEqual([c.scores for c in written], [None, None])
    against, met = fake.preferred
    self.assertEqual(
      [c.responses for c in against], [('6', '4'), ('1', '4'), ('3', '4')]
    )
    self.assertEqual([c.responses for c in met], [('4', '6'), ('1', '3')])
    self.assertEqual(fake.scored, [])

  def test_the_ranker_decides_whatever_the_scores(self):
    # Against spock paper is worth 1 and lizard −1, and yet lizard wins.
    odds = {('rock', 'spock'): 2.0, ('paper', 'spock'): 1.0,
            ('lizard', 'spock'): -1.0, ('spock', 'rock'): -2.0,
            ('paper', 'lizard'): -0.5}  # fmt: skip
    written, _ = self.built(
      [['spock', 'rock', 'paper', 'lizard']], lambda a, b: odds[a, b]
    )
    self.assertEqual(
      [c.responses for c in written], [('rock', 'spock'), ('lizard', 'paper')]
    )

  def test_equal_scores_of_a_ranker_are_no_tie(self):
    written, _ = self.built(
      [['a', 'b', 'c', 'd']],
      lambda a, b: 5.0 if (a, b) == ('c', 'd') else 1.0,
    )
    self.assertEqual([c.responses for c in written], [('a', 'b'), ('c', 'd')])


class StagesTest(absltest.TestCase):
  def test_a_ranker_is_frozen_in_its_own_role(self):
    (stage,) = rso.pair_stages(config(), judge='rm').values()
    self.assertEqual(stage.frozen, {'reward': 'rm'})
    (stage,) = rso.pair_stages(
      config(judge=judging.by_ranker), judge='ranker'
    ).values()
    self.assertEqual(stage.frozen, {'ranker': 'ranker'})

  def test_every_choice_can_be_described(self):
    options = {'select': rso.first, 'pair': pairing.tournament}
    flat = addressing.flatten(addressing.describe(config(**options)))
    self.assertEqual(flat['select'], 'rlhf_jax.methods.rso.first')
    self.assertEqual(flat['judge'], 'rlhf_jax.feedback.judging.by_reward')


if __name__ == '__main__':
  absltest.main()
