"""Synthetic pairs by agreement, by reward and by the policy's own word."""

import functools
import math

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.feedback import sampled_pairs, similarity
from rlhf_jax.kernels import clustering
from rlhf_jax.methods.rlp import consistency, labelled, synthetic
from rlhf_jax.stages import DatasetStage
from rlhf_jax.types import Comparison, Sampled
from tests.methods.fake_queries import FakeQueries, prompt

WHO = prompt()


def sampled(said, asked=WHO, cut=(), scores=None):
  """Words of one letter, each followed by its score; '-' says nothing."""
  texts = tuple(word[0].strip('-') for word in said.split())
  return Sampled(
    asked,
    texts,
    ended=tuple(i not in cut for i in range(len(texts))),
    lengths=tuple(10 * (i + 1) for i in range(len(texts))),
    logps=(-1.0,) * len(texts),
    scores=tuple(float(word[1:]) for word in said.split())
    if scores is None
    else scores,
  )


def facts_of(written):
  return {
    name: (float(mean.value), float(mean.weight))
    for name, mean in written.facts.items()
  }


def agree(records, fake=None, **options):
  fake = fake or FakeQueries(seeds=list(range(len(records))))
  config = synthetic.Config(**options)
  return synthetic.by_consistency(records, fake.queries, config=config)


class ByConsistencyTest(parameterized.TestCase):
  # Three of five say a; all say b; all differ; two groups as large.
  RECORDS = (
    sampled('a1 A3 x9 a2 y0', prompt('most'), cut=(1, 2)),
    sampled('b1 b2 b3 b4 b5', prompt('all')),
    sampled('a1 b2 c3 d4 e5', prompt('none')),
    sampled('a1 a2 b3 b9', prompt('two')),
  )

  def test_a_pair_of_each_prompt_that_is_sure(self):
    found = agree(self.RECORDS).records
    self.assertEqual([c.prompt.text for c in found], ['most', 'two'])
    first, second = found
    self.assertEqual(first.responses[0], 'A')
    self.assertIn(first.responses[1], ('x', 'y'))
    self.assertEqual(second.responses, ('b', 'a'))
    for made in found:
      self.assertEqual((made.margin, made.scores, made.target, made.weight),
                       (0.0, None, None, 1.0))  # fmt: skip

  def test_what_is_said_of_the_prompts(self):
    found = facts_of(agree(self.RECORDS))
    expected = {
      'accepted': 2 / 4,
      'confidence': (3 / 5 + 1 + 1 / 5 + 1 / 2) / 4,
      'groups': (3 + 1 + 5 + 2) / 4,
      'semantic_entropy': (
        0.6 * math.log(1 / 0.6) + 0.4 * math.log(5) + math.log(5) + math.log(2)
      )
      / 4,
      'rejected_low_confidence': 1 / 4,
      'rejected_all_agree': 1 / 4,
      'rejected_tie': 0.0,
      'rejected_empty': 0.0,
    }
    for name, value in expected.items():
      self.assertAlmostEqual(found[name][0], value, places=6, msg=name)
      self.assertEqual(found[name][1], 4, name)

  def test_what_to_change_where_there_is_no_pair(self):
    _, every, none, _ = self.RECORDS
    facts = {k: v for k, (v, _) in facts_of(agree([every, none, none])).items()}
    said = synthetic.Config(gamma=0.7).when_none(
      facts, own='stages.pairs.config', drawing='stages.drawn.config'
    )
    few, agreed = said.split('; ')
    self.assertEqual(
      few,
      'too few samples agree to 67% of the prompts: lower '
      'stages.pairs.config.gamma, which is 0.7',
    )
    self.assertRegex(
      agreed, '^all samples agree to 33% .*stages.drawn.config.samples'
    )

  def test_what_is_said_of_the_pairs(self):
    written = agree(self.RECORDS)
    found = facts_of(written)
    # 'most': A at place 1, x at 2 or y at 4. 'two': b at place 3, a at 0 or 1.
    place = {'x': 2, 'y': 4}[written.records[0].responses[1]]
    worse = {2: 9.0, 4: 0.0}[place]
    # Which of the two that say a it was shows in its length alone.
    lengths = [
      length
      for length in (10.0, 20.0)
      if math.isclose(
        found['rejected_length'][0], (10 * (place + 1) + length) / 2
      )
    ]
    self.assertLen(lengths, 1)
    gap = (3.0 - worse + 9.0 - lengths[0] / 10) / 2
    expected = {
      'reward_gap': gap,
      'chosen_length': (20 + 40) / 2,
      'chosen_cut': 1 / 2,
      'rejected_cut': (place == 2) / 2,
    }
    for name, value in expected.items():
      self.assertAlmostEqual(found[name][0], value, places=5, msg=name)
      self.assertEqual(found[name][1], 2, name)

  def test_without_a_pair_there_are_facts_all_the_same(self):
    written = agree(self.RECORDS[1:3])
    self.assertEqual(list(written.records), [])
    found = facts_of(written)
    self.assertEqual(found['accepted'], (0.0, 2.0))
    self.assertNotIn('reward_gap', found)

  def test_empty_samples_are_no_group(self):
    # Of five samples one says a and one b, so nobody is sure of anything.
    written = agree([sampled('-1 -2 -3 a4 b5')])
    self.assertEqual(list(written.records), [])
    self.assertEqual(facts_of(written)['rejected_low_confidence'], (1.0, 1.0))

  def test_confidence_does_not_count_the_empty_as_a_group(self):
    # Each empty sample is a group of its own (rlp.md, section 5.1).
    found = facts_of(agree([sampled('-1 -2 -3 a4 b5')]))
    self.assertAlmostEqual(found['confidence'][0], 0.2, places=6)

  def test_select_all_rejects_nothing_for_doubt(self):
    config = synthetic.Config(gamma=0.0)
    self.assertEqual(config, synthetic.Config(gamma=0.0))
    fake = FakeQueries(seeds=range(4))
    found = synthetic.by_consistency(self.RECORDS, fake.queries, config=config)
    self.assertEqual(
      [c.prompt.text for c in found.records], ['most', 'none', 'two']
    )
    self.assertEqual(found.records[1].responses[0], 'e')

  @parameterized.parameters((0.6, 1), (0.61, 0), (0.5, 2))
  def test_gamma_is_the_config_s(self, gamma, count):
    self.assertLen(agree(self.RECORDS, gamma=gamma).records, count)

  def test_choice_tie_and_weight_are_the_config_s(self):
    found = agree(self.RECORDS, tie=consistency.none_of_tied, weight=0.25)
    self.assertEqual([c.weight for c in found.records], [0.25])
    self.assertEqual(facts_of(found)['rejected_tie'], (0.25, 4.0))
    chosen = {
      agree(
        self.RECORDS[:1],
        FakeQueries(seeds=[seed]),
        choose=consistency.any_member,
      )
      .records[0]
      .responses[0]
      for seed in range(30)
    }
    self.assertEqual(chosen, {'a', 'A'})

  def test_each_prompt_has_its_own_seed(self):
    record = sampled('a1 a2 a3 p4 q5 r6')

    def rejected(seeds):
      found = agree([record] * len(seeds), FakeQueries(seeds=seeds)).records
      return [c.responses[1] for c in found]

    alone = [rejected([seed])[0] for seed in range(12)]
    self.assertEqual(rejected(list(range(12))), alone)
    self.assertEqual(set(alone), {'p', 'q', 'r'})

  def test_similarity_is_asked_once_of_all_and_has_the_tools(self):
    # a and b point one way and c another; words do not say so.
    turns = {'a': (1.0, 0.0), 'b': (1.0, 0.1), 'c': (0.0, 1.0)}
    fake = FakeQueries(seeds=[0], vectors=turns.__getitem__)
    found = agree(
      [sampled('a1 b5 c9')], fake,
      similarity=functools.partial(similarity.embedding, threshold=0.9),
    )  # fmt: skip
    (made,) = found.records
    self.assertEqual(made.responses, ('b', 'c'))

  def test_linkage_is_the_config_s(self):
    # A chain a-b-c in which a and c are not similar.
    chain = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]])

    def similar(prompts, texts, queries):
      del queries
      return [chain.astype(bool) for _ in zip(prompts, texts, strict=True)]

    record = sampled('a1 b2 c3 d4')
    how = {'similarity': similar, 'gamma': 0.75}
    self.assertEmpty(agree([record], **how).records)
    (made,) = agree([record], linkage=clustering.union_find, **how).records
    self.assertEqual(made.responses, ('c', 'd'))

  @parameterized.parameters(-0.1, 1.1, math.nan)
  def test_a_gamma_that_is_no_share_is_refused(self, gamma):
    with self.assertRaisesRegex(ValueError, r'gamma is .* must be in \[0, 1\]'):
      synthetic.Config(gamma=gamma)


class ByRewardTest(absltest.TestCase):
  def test_the_higher_reward_of_the_first_two_is_preferred(self):
    records = [
      sampled('a1 b3 c9', prompt('up'), cut=(1,)),
      sampled('a4 b-2 c9', prompt('down')),
      sampled('a1 b1 c9', prompt('equal rewards')),
      sampled('a1 a2 c9', prompt('equal texts')),
    ]
    fake = FakeQueries(seeds=range(4))
    written = labelled.by_reward(
      records, fake.queries, config=sampled_pairs.PairConfig(weight=0.5)
    )
    self.assertEqual(
      written.records,
      [
        Comparison(prompt('up'), ('b', 'a'), weight=0.5),
        Comparison(prompt('down'), ('a', 'b'), weight=0.5),
      ],
    )
    self.assertEqual(
      facts_of(written),
      {
        'accepted': (0.5, 4.0),
        'reward_gap': (4.0, 2.0),
        'chosen_length': (15.0, 2.0),
        'rejected_length': (15.0, 2.0),
        'chosen_cut': (0.5, 2.0),
        'rejected_cut': (0.0, 2.0),
      },
    )


class ByPolicyTest(parameterized.TestCase):
  QUESTION = 'Q {prompt} 1:{first} 2:{second}'
  CONFIG = labelled.AskedConfig(
    question=QUESTION, answers=('one', 'two'), weight=2.0
  )

  def ask(self, records, says):
    """`says`: by question, the log-odds of the first answer."""

    def logp(asked, answer):
      return says[asked.text] * (answer == 'one') - 3.0

    fake = FakeQueries(seeds=range(len(records)), logp=logp)
    written = labelled.by_policy(records, fake.queries, config=self.CONFIG)
    return written, fake

  # Log-odds for the first place in the order (a, b), then in (b, a); which is
  # preferred, by ½ [σ(x) + 1 − σ(y)]; whether the place alone decided.
  @parameterized.parameters(
    (2.0, -2.0, 'ab', 0.0),
    (-2.0, 2.0, 'ba', 0.0),
    (3.0, 1.0, 'ab', 1.0),  # Always the first place, more so when it is a.
    (1.0, 3.0, 'ba', 1.0),
    (-1.0, -3.0, 'ab', 1.0),
    (-3.0, -1.0, 'ba', 1.0),
    (5.0, -0.1, 'ab', 0.0),
  )
  def test_both_orders_decide(self, one, other, preferred, swayed):
    record = sampled('a1 b3 c9', prompt('p'))
    says = {'Q p 1:a 2:b': one, 'Q p 1:b 2:a': other}
    written, fake = self.ask([record], says)
    self.assertEqual(
      written.records,
      [Comparison(prompt('p'), tuple(preferred), weight=2.0)],
    )
    found = facts_of(written)
    self.assertEqual(found['swayed_by_order'], (swayed, 1.0))
    self.assertEqual(
      found['reward_gap'], (2.0 if preferred == 'ba' else -2.0, 1.0)
    )
    asked = {q.text for prompts, _ in fake.told for q in prompts}
    self.assertEqual(asked, set(says))
    for prompts, _ in fake.told:
      self.assertEqual({q.messages[0].role for q in prompts}, {'user'})

  def test_each_prompt_is_decided_by_its_own_questions(self):
    records = [
      sampled('a1 b3', prompt('p')),
      sampled('c5 d2', prompt('q')),
      sampled('e1 e2', prompt('same')),
      sampled('f1 g2', prompt('even')),
    ]
    written, fake = self.ask(
      records,
      {
        'Q p 1:a 2:b': -1.0, 'Q p 1:b 2:a': 1.0,
        'Q q 1:c 2:d': 1.0, 'Q q 1:d 2:c': -1.0,
        'Q same 1:e 2:e': 1.0,
        'Q even 1:f 2:g': 0.0, 'Q even 1:g 2:f': 0.0,
      },
    )  # fmt: skip
    self.assertEqual(
      [c.responses for c in written.records], [('b', 'a'), ('c', 'd')]
    )
    self.assertEqual(facts_of(written)['accepted'], (0.5, 4.0))
    # Eight questions, and each of the two answers to all of them at once.
    self.assertEqual([len(prompts) for prompts, _ in fake.told], [8, 8])
    self.assertEqual(
      [set(answers) for _, answers in fake.told], [{'one'}, {'two'}]
    )

  def test_the_place_alone_gives_no_pair(self):
    # Whatever stands first is preferred, as much in either order.
    record = sampled('a1 b3', prompt('p'))
    written, _ = self.ask([record], {'Q p 1:a 2:b': 0.0, 'Q p 1:b 2:a': 0.0})
    self.assertEmpty(written.records)

  def test_texts_may_hold_braces(self):
    record = sampled('a1 b3', prompt('{first} {0}'))
    says = {
      'Q {first} {0} 1:a 2:b': 1.0,
      'Q {first} {0} 1:b 2:a': -1.0,
    }
    written, _ = self.ask([record], says)
    self.assertLen(written.records, 1)


class StagesTest(absltest.TestCase):
  def test_who_is_asked(self):
    spg = synthetic.stages(synthetic.Config(), data='p', reward='r', name='s')
    by_reward = labelled.stages_by_reward(sampled_pairs.PairConfig(), name='s')
    asked = labelled.AskedConfig(
      question='{prompt} {first} {second}', answers=('a', 'b')
    )
    by_policy = labelled.stages_by_policy(asked, policy='other', name='s')
    for stages, build in (
      (spg, synthetic.by_consistency),
      (by_reward, labelled.by_reward),
      (by_policy, labelled.by_policy),
    ):
      self.assertEqual(list(stages), ['s'])
      self.assertIsInstance(stages['s'], DatasetStage)
      self.assertIs(stages['s'].build, build)
    self.assertEqual((spg['s'].data, spg['s'].frozen), ('p', {'reward': 'r'}))
    self.assertEqual(by_reward['s'].data, 'policy_samples')
    self.assertEqual(dict(by_reward['s'].frozen), {})
    self.assertEqual(by_policy['s'].policy, 'other')
    self.assertIsNone(spg['s'].policy)


if __name__ == '__main__':
  absltest.main()
