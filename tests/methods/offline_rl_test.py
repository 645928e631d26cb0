"""What is made of a pool of rewards; expected values are sums done by hand."""

import functools
import math

import jax
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.kernels import masking
from rlhf_jax.learners import likelihood
from rlhf_jax.methods import offline_rl
from rlhf_jax.types import Comparison, Demonstration, Rated
from tests import toy
from tests.methods.fake_queries import FakeQueries, prompt


def pool(*rewards, prompts=None):
  prompts = prompts or [prompt(f'{i}') for i in range(len(rewards))]
  return [
    Rated(asked, f'says {i}', (reward,))
    for i, (asked, reward) in enumerate(zip(prompts, rewards, strict=True))
  ]


def build(records, recipe):
  return offline_rl.build(
    records, FakeQueries().queries, config=offline_rl.Pool(recipe=recipe)
  )


class StatisticsTest(parameterized.TestCase):
  def test_worked_numbers(self):
    # Mean 3; squares 4 + 1 + 1 + 4 = 10, over 5 − 1; std √2.5.
    found = offline_rl.statistics(pool(1.0, 2.0, 3.0, 4.0, 5.0))
    self.assertEqual(found.scored, 5)
    self.assertAlmostEqual(found.reward_mean, 3.0)
    self.assertAlmostEqual(found.reward_std, math.sqrt(2.5))
    self.assertAlmostEqual(found.lowest_z, -2.0 / math.sqrt(2.5))
    self.assertAlmostEqual(found.highest_z, 2.0 / math.sqrt(2.5))
    np.testing.assert_allclose(
      found.standardised([3.0, 3.0 + math.sqrt(2.5)]), [0.0, 1.0]
    )

  def test_in_float64(self):
    # In float32 all three would be 1e8.
    found = offline_rl.statistics(pool(1e8 + 1.0, 1e8 + 2.0, 1e8 + 3.0))
    self.assertEqual(found[1:], (1e8 + 2.0, 1.0, -1.0, 1.0))

  def test_they_are_kept_beside_what_is_written(self):
    written = build(pool(1.0, 2.0, 3.0), offline_rl.above)
    self.assertEqual(
      written.facts,
      {
        'scored': 3,
        'reward_mean': 2.0,
        'reward_std': 1.0,
        'lowest_z': -1.0,
        'highest_z': 1.0,
      },
    )

  @parameterized.parameters(
    (pool(1.0, math.nan), 'the reward of record 1 of the pool is nan'),
    (pool(math.inf, 0.0), 'the reward of record 0 of the pool is inf'),
    (pool(2.0, 2.0), 'the pool has 2 rewards and no two of them differ'),
    (pool(2.0), 'the pool has 1 rewards and no two of them differ'),
    (pool(2.0, None), 'record 1 of the pool is a Rated without one reward'),
    (
      [Rated(prompt(), 'a', (1.0, 2.0))],
      'record 0 of the pool is a Rated without one reward',
    ),
    (
      [Demonstration(prompt(), 'a')],
      'record 0 of the pool is a Demonstration without one reward; have it',
    ),
    (
      [Comparison(prompt(), ('a',), scores=(1.0,))],
      'record 0 of the pool is a Comparison without one reward',
    ),
  )
  def test_what_cannot_be_standardised_is_one_sentence(self, records, said):
    with self.assertRaisesRegex(ValueError, said) as caught:
      offline_rl.statistics(records)
    self.assertNotIn('\n', str(caught.exception))


class RecipeTest(parameterized.TestCase):
  def test_above_keeps_what_is_above_the_mean(self):
    records = pool(1.0, 2.0, 3.0, 4.0, 5.0)
    found = build(records, offline_rl.above).records
    self.assertEqual(
      found, [Demonstration(r.prompt, r.response) for r in records[3:]]
    )

  @parameterized.parameters((-2.0, 5), (-1.0, 4), (0.7, 1), (1.3, 0))
  def test_above_a_threshold_in_deviations(self, threshold, count):
    # z is ±1.265, ±0.632 and 0.
    recipe = functools.partial(offline_rl.above, threshold=threshold)
    found = build(pool(1.0, 2.0, 3.0, 4.0, 5.0), recipe).records
    self.assertLen(found, count)

  def test_best_of_prompt(self):
    a, b, c = prompt('a'), prompt('b'), prompt('c')
    records = pool(1.0, 5.0, 3.0, 5.0, -9.0, prompts=[a, b, a, b, c])
    found = build(records, offline_rl.best_of_prompt).records
    # The best of a is the third; of b's equals the first; c has only one.
    self.assertEqual(
      found,
      [
        Demonstration(a, 'says 2'),
        Demonstration(b, 'says 1'),
        Demonstration(c, 'says 4'),
      ],
    )

  def test_nothing_is_lost_where_prompts_have_one_response_each(self):
    records = pool(3.0, -1.0, 2.0, 0.0)
    found = build(records, offline_rl.best_of_prompt).records
    self.assertEqual(
      found, [Demonstration(r.prompt, r.response) for r in records]
    )

  def test_prompts_that_differ_in_an_earlier_turn_are_different(self):
    one = prompt('a')
    other = one._replace(messages=(one.messages[0], *one.messages))
    records = pool(1.0, 2.0, prompts=[one, other])
    self.assertLen(build(records, offline_rl.best_of_prompt).records, 2)

  def test_weights(self):
    # The unbiased deviation of (1, 0, −1) is 1, so z is the reward.
    records = pool(1.0, 0.0, -1.0)
    found = build(records, offline_rl.weighted).records
    np.testing.assert_allclose(
      [d.weight for d in found], [2.71828, 1.0, 0.367879], atol=5e-6
    )
    self.assertEqual(
      [d[:2] for d in found], [(r.prompt, r.response) for r in records]
    )

  def test_weights_at_another_temperature_are_clipped(self):
    recipe = functools.partial(offline_rl.weighted, beta=0.25)
    found = build(pool(1.0, 0.0, -1.0), recipe).records
    # exp(4) = 54.6 is more than 20; exp(−4).
    np.testing.assert_allclose(
      [d.weight for d in found], [20.0, 1.0, 0.0183156], rtol=1e-5
    )
    recipe = functools.partial(offline_rl.weighted, beta=1e-4, most=3.0)
    found = build(pool(1.0, 0.0, -1.0), recipe).records
    np.testing.assert_allclose([d.weight for d in found], [3.0, 1.0, 0.0])

  @parameterized.parameters(0.0, -1.0, math.nan)
  def test_a_temperature_is_above_0(self, beta):
    recipe = functools.partial(offline_rl.weighted, beta=beta)
    with self.assertRaisesRegex(ValueError, 'recipe.beta .* above 0'):
      build(pool(1.0, 0.0), recipe)

  def test_conditioned_writes_the_reward_and_keeps_all(self):
    records = pool(1.0, 0.0, -1.0)
    found = build(records, offline_rl.conditioned).records
    self.assertEqual(
      [d.prompt.condition for d in found],
      [' <rm_score>: 1.00 ', ' <rm_score>: 0.00 ', ' <rm_score>: -1.00 '],
    )
    for record, demonstration in zip(records, found, strict=True):
      prompt_of, response, weight = demonstration
      self.assertEqual(prompt_of._replace(condition=''), record.prompt)
      self.assertEqual((response, weight), (record.response, 1.0))

  def test_conditioned_as_told_to_spell(self):
    recipe = functools.partial(
      offline_rl.conditioned, decimals=1, spelling=str.upper
    )
    found = build(pool(1.0, 0.0, -1.0), recipe).records
    self.assertEqual(found[0].prompt.condition, ' <RM_SCORE>: 1.0 ')


class LossTest(parameterized.TestCase):
  """Weights in the loss, held to sums over rows in numpy."""

  def setUp(self):
    super().setUp()
    self.params = {'policy': toy.POLICY.init(jax.random.key(0))}
    weights = np.array([math.e, 1.0, 1.0 / math.e], np.float32)
    self.batch = toy.demonstrations(3, seed=4).replace(weight=weights)
    table = np.asarray(self.params['policy']['embedding'], np.float64)
    self.rows = []
    for tokens, mask in zip(
      self.batch.tokens, self.batch.response_mask, strict=True
    ):
      response = tuple(tokens[mask].tolist())
      nll = -toy.log_probability(table, int(tokens[0]), response)
      self.rows.append((nll, len(response)))
    # They differ in length, or the reductions could not be told apart.
    self.assertGreater(len({length for _, length in self.rows}), 1)

  def loss(self, **options):
    terms, metrics = offline_rl.loss(
      self.params,
      {},
      self.batch,
      jax.random.key(0),
      models=toy.MODELS,
      config=offline_rl.Config(steps=1, **options),
    )
    coefficient, mean = terms['likelihood']
    return coefficient * mean.value, metrics

  def test_self_normalised_over_responses(self):
    # The normalised weights of the page: .665241, .244728, .090031.
    expected = sum(
      share * nll / length
      for share, (nll, length) in zip(
        (0.665241, 0.244728, 0.090031), self.rows, strict=True
      )
    )
    found, _ = self.loss(reduction=masking.sequence_mean)
    self.assertAlmostEqual(float(found), expected, places=5)

  def test_self_normalised_over_tokens(self):
    w = self.batch.weight.astype(float)
    nlls, lengths = map(np.array, zip(*self.rows, strict=True))
    found, _ = self.loss()
    expected = np.sum(w * nlls) / np.sum(w * lengths)
    self.assertAlmostEqual(float(found), expected, places=5)

  def test_unnormalised(self):
    w = self.batch.weight.astype(float)
    nlls = np.array([nll for nll, _ in self.rows])
    found, _ = self.loss(
      reduction=masking.sequence_sum, weighing=likelihood.unnormalised
    )
    self.assertAlmostEqual(float(found), np.sum(w * nlls) / 3, places=5)

  def test_the_effective_share_is_told(self):
    # (Σ w)² / Σ w² / 3 = 1 / Σ share² / 3 = 1 / 0.510543 / 3.
    _, metrics = self.loss()
    found = float(metrics['effective_share'].value)
    self.assertAlmostEqual(found, 1.0 / 0.510543 / 3.0, places=5)


if __name__ == '__main__':
  absltest.main()
