"""ScPO: who votes for whom, what a pair weighs, and what is learnt of it."""

import jax
import numpy as np
import optax
from absl.testing import absltest, parameterized

from rlhf_jax.kernels import clustering
from rlhf_jax.methods import scpo
from rlhf_jax.training import state as training
from rlhf_jax.types import Comparison, Sampled
from tests import toy
from tests.methods.fake_queries import FakeQueries, prompt


def sampled(letters, asked=None):
  """Samples of one letter each; '-' says nothing, the last one was cut."""
  texts = tuple(letter.strip('-') for letter in letters)
  return Sampled(
    asked or prompt(),
    texts,
    ended=(True,) * (len(texts) - 1) + (False,),
    lengths=tuple(range(1, len(texts) + 1)),
    logps=(-1.0,) * len(texts),
  )


def vote(records, seeds=None, **options):
  seeds = list(range(len(records))) if seeds is None else seeds
  return scpo.build(
    records, FakeQueries(seeds=seeds).queries, config=scpo.Pairs(**options)
  )


# Samples, τ, and the letters that may be chosen and rejected with the weight;
# or None without a pair.
CASES = {
  'the largest and the smallest': ('aaabbc', 0.5, ('a', 'c', 2 / 6)),
  'not the second largest': ('aaaabbbc', 0.5, ('a', 'c', 3 / 8)),
  'one other group': ('aaab', 0.5, ('a', 'b', 2 / 4)),
  'any of the smallest': ('aaaabc', 0.5, ('a', 'bc', 3 / 6)),
  'just enough': ('aaaaaaabcd', 0.7, ('a', 'bcd', 6 / 10)),
  'too few': ('aaaaaabcde', 0.7, None),
  'two largest': ('aaabbbc', 0.4, ('ab', 'c', 2 / 7)),
  'groups as large': ('aabb', 0.5, None),
  'all differ': ('abcd', 0.0, None),
  'all agree': ('aaaa', 0.5, None),
  'an empty one counts in k': ('aa--', 0.5, None),
  'an empty one is never rejected': ('aaabb-', 0.5, ('a', 'b', 1 / 6)),
  'all are empty': ('---', 0.0, None),
}


class PairsTest(parameterized.TestCase):
  @parameterized.named_parameters((name, *case) for name, case in CASES.items())
  def test_votes_by_hand(self, letters, tau, expected):
    written = vote([sampled(letters)] * 24, tau=tau)
    if expected is None:
      self.assertEmpty(written.records)
      return
    chosen, rejected, weight = expected
    self.assertLen(written.records, 24)
    for place, letters in ((0, chosen), (1, rejected)):
      found = {made.responses[place] for made in written.records}
      self.assertEqual(found, set(letters))
    for made in written.records:
      self.assertAlmostEqual(made.weight, weight)

  def test_a_pair_is_the_record_s_own(self):
    first, second = prompt('one'), prompt('two')
    found = vote([sampled('aaab', first), sampled('cd', second)], weight=0.5)
    self.assertEqual(
      found.records, [Comparison(first, ('a', 'b'), weight=0.25)]
    )
    self.assertFalse(found.records[0].responses[1].ended)

  def test_a_seed_draws_for_its_prompt_alone(self):
    record = sampled('aaaabcd')

    def rejected(seeds):
      found = vote([record] * len(seeds), seeds=seeds).records
      return [made.responses[1] for made in found]

    alone = [rejected([seed])[0] for seed in range(12)]
    self.assertEqual(rejected(list(range(12))), alone)

  def test_what_means_the_same_is_the_config_s(self):
    def similar(prompts, texts, queries):
      del queries
      chain = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
      return [chain.astype(bool) for _ in zip(prompts, texts, strict=True)]

    records, how = [sampled('abcd')], {'similarity': similar, 'tau': 0.75}
    self.assertEmpty(vote(records, **how).records)
    (made,) = vote(records, linkage=clustering.union_find, **how).records
    self.assertEqual((made.responses[1], made.weight), ('d', 0.5))

  def test_what_is_said_of_prompts_and_pairs(self):
    facts = vote([sampled('aaab'), sampled('abcd')]).facts
    found = {
      name: (float(m.value), float(m.weight)) for name, m in facts.items()
    }
    chosen = found.pop('chosen_length')[0]
    self.assertIn(chosen, (1.0, 2.0, 3.0))
    self.assertEqual(
      found,
      {
        'accepted': (0.5, 2.0),
        'confidence': (0.5, 2.0),
        'vote_gap': (0.5, 1.0),
        'rejected_length': (4.0, 1.0),
        'chosen_cut': (0.0, 1.0),
        'rejected_cut': (1.0, 1.0),
      },
    )

  def test_what_to_change_where_there_is_no_pair(self):
    written = vote([sampled('aabc'), sampled('abcd')], tau=0.75)
    self.assertEmpty(written.records)
    facts = {name: float(m.value) for name, m in written.facts.items()}
    said = scpo.Pairs(tau=0.75).when_none(
      facts, own='stages.pairs.config', drawing='stages.drawn.config'
    )
    self.assertStartsWith(
      said,
      '38% of the samples of a prompt agree; lower stages.pairs.config.tau, '
      'which is 0.75, or draw more samples of a prompt '
      '(stages.drawn.config.samples)',
    )

  def test_a_single_sample_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'has 1 sample, and a pair needs'):
      vote([sampled('a')])


class LearningTest(absltest.TestCase):
  # Two pairs of a toy policy, with lengths 3 and 1, 2 and 3.
  HEADS = (0, 1)
  LISTS = (((0, 1, toy.EOS), (toy.EOS,)), ((1, toy.EOS), (0, 0, 1)))
  WEIGHT = np.float32([0.75, 0.25])

  def setUp(self):
    super().setUp()
    self.policy = toy.POLICY.init(jax.random.key(0))
    self.reference = toy.POLICY.init(jax.random.key(1))
    self.batch = toy.compared(self.HEADS, self.LISTS, weight=self.WEIGHT)

  def test_a_weight_multiplies_both_terms(self):
    terms, _ = scpo.loss(
      {'policy': self.policy},
      {'reference': self.reference},
      self.batch,
      jax.random.key(2),
      models=toy.MODELS,
      config=scpo.Config(steps=1),
    )
    expected = []
    for head, pair in zip(self.HEADS, self.LISTS, strict=True):
      own, kept = (
        [toy.log_probability(np.asarray(p['embedding'], float), head, y)
         for y in pair]
        for p in (self.policy, self.reference)
      )  # fmt: skip
      gap = (own[0] - kept[0]) - (own[1] - kept[1])
      expected.append(np.log1p(np.exp(-0.5 * gap)) - own[0] / len(pair[0]))
    (mean,) = [mean for _, mean in terms.values()]
    np.testing.assert_allclose(
      mean.value, np.average(expected, weights=self.WEIGHT), rtol=1e-5
    )

  def test_the_policy_comes_to_say_what_most_samples_said(self):
    optimizer, config = optax.adam(0.1), scpo.Config(steps=20)
    state = training.create({'policy': self.reference}, optimizer)
    step = jax.jit(
      lambda state: scpo.update(
        state,
        {'reference': self.reference},
        self.batch,
        jax.random.key(0),
        models=toy.MODELS,
        optimizer=optimizer,
        config=config,
      )[0]
    )
    for _ in range(config.steps):
      state = step(state)
    for head, (chosen, rejected) in zip(self.HEADS, self.LISTS, strict=True):
      before, after = (
        [toy.probability(np.asarray(p['embedding'], float), head, y)
         for y in (chosen, rejected)]
        for p in (self.reference, state.params['policy'])
      )  # fmt: skip
      self.assertGreater(after[0], 2.0 * before[0])
      self.assertLess(after[1], 0.5 * before[1])


if __name__ == '__main__':
  absltest.main()
