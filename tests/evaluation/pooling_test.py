"""Pooling seeds: every number against one worked by hand or by scipy."""

import dataclasses
import json
import pathlib
import tempfile

import numpy as np
import scipy.stats
from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import claims, pooling, report
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.evaluation.statistics import Estimate
from rlhf_jax.types import Message, Prompt


def answers(name, gold, *, first=0, score=None, length=5, kl=0.0):
  """One response to each prompt, prompts numbered from `first`."""
  count = len(score if gold is None else gold)
  return PolicySamples(
    name=name,
    prompts=[
      Prompt((Message('user', f'question {first + i}'),)) for i in range(count)
    ],
    responses=[f'{name} says {i} {"x" * length}' for i in range(count)],
    lengths=np.full(count, length),
    ended=np.ones(count, bool),
    gold=None if gold is None else np.array(gold, float),
    score=None if score is None else np.array(score, float),
    kl=np.full(count, kl),
  )


def seed(sft, ppo, dpo, **options):
  return {
    name: answers(name, gold, **options)
    for name, gold in (('sft', sft), ('ppo', ppo), ('dpo', dpo))
  }


# Two seeds, the same four prompts.
RUNS = {
  3: seed([0, 0, 0, 0], [1, 1, 1, -1], [2, 2, 0.5, -2], kl=2.0, length=4),
  5: seed([0, 1, 0, 1], [1, 2, 1, 3], [2, 2, 2, 1], kl=4.0, length=8),
}


class PoolTest(parameterized.TestCase):
  def test_two_seeds_by_hand(self):
    pooled = pooling.pool(RUNS, contrasts={'dpo is best': ('dpo', 'ppo')})
    self.assertEqual((pooled.seeds, pooled.judge), ((3, 5), 'gold'))
    self.assertEqual(pooled.prompts, 4)
    ppo, dpo = pooled.policies['ppo'], pooled.policies['dpo']
    # Wins against SFT: ppo 3 of 4, 4 of 4; dpo 3 of 4, then 3 and a tie.
    self.assertEqual(ppo.by_seed, (0.75, 1.0))
    self.assertEqual(ppo.win_rate.value, 7 / 8)
    self.assertEqual(dpo.by_seed, (0.75, 0.875))
    self.assertEqual(ppo.gold.value, (1 + 1 + 1 - 1 + 7) / 8)
    self.assertEqual(ppo.kl.value, 3.0)
    self.assertEqual(ppo.length.value, 6.0)
    self.assertEqual(ppo.ended, 1.0)
    self.assertIsNone(ppo.score)
    self.assertIsNone(pooled.policies['sft'].win_rate)
    # dpo less ppo: +1 +1 −½ −1, then +1, 0 (a tie), +1, −2.
    contrast = pooled.contrasts['dpo is best']
    self.assertEqual(contrast.by_seed, (0.5, 0.625))
    self.assertEqual(contrast.win_rate.value, 9 / 16)
    self.assertEqual(contrast.gold_gain.value, 0.5 / 8)
    self.assertEqual((contrast.judge, contrast.verdict), ('gold', 'undecided'))

  def test_the_interval_is_of_seeds_and_prompts(self):
    cells = np.array([[1.0, 1, -0.5, -1], [1.0, 0, 1, -2]])
    # Two-way analysis of variance, one observation a cell.
    by_seed, by_prompt = cells.mean(1), cells.mean(0)
    rest = cells - by_seed[:, None] - by_prompt + cells.mean()
    ms_seeds = 4 * np.sum((by_seed - cells.mean()) ** 2) / 1
    ms_prompts = 2 * np.sum((by_prompt - cells.mean()) ** 2) / 3
    ms_rest = np.sum(rest**2) / 3
    variance = (ms_prompts + max(ms_seeds - ms_rest, 0)) / 8
    pooled = pooling.pool(RUNS, contrasts={'c': ('dpo', 'ppo')})
    gain = pooled.contrasts['c'].gold_gain
    self.assertAlmostEqual(gain.standard_error, np.sqrt(variance))

  def test_seeds_with_prompts_of_their_own_are_one_observation_each(self):
    runs = {
      0: seed([0, 0], [1, -1], [1, 1], first=0),
      1: seed([0, 0], [1, 1], [1, 2], first=2),
      2: seed([0, 0], [3, 4], [1, 2], first=4),
    }
    pooled = pooling.pool(runs, contrasts={'c': ('ppo', 'sft')})
    rates, gains = [0.5, 1.0, 1.0], [0.0, 1.0, 3.5]
    for actual, each, most in (
      (pooled.policies['ppo'].win_rate, rates, 1.0),
      (pooled.contrasts['c'].win_rate, rates, 1.0),
      (pooled.contrasts['c'].gold_gain, gains, np.inf),
    ):
      expected = scipy.stats.t.interval(
        0.95, 2, np.mean(each), scipy.stats.sem(each)
      )
      expected = np.minimum(expected, most)  # No rate is above 1.
      np.testing.assert_allclose(actual[2:], expected)

  def test_one_seed_is_of_prompts_alone(self):
    gold = np.array([1.0, 1, 1, -1, 2, 0.5, -3, 1])
    run = seed(np.zeros(8), gold, gold)
    pooled = pooling.pool({0: run}, contrasts={'c': ('ppo', 'sft')})
    contrast = pooled.contrasts['c']
    wilson = scipy.stats.binomtest(6, 8).proportion_ci(method='wilson')
    np.testing.assert_allclose(contrast.win_rate[2:], wilson, rtol=1e-6)
    expected = scipy.stats.t.interval(
      0.95, 7, gold.mean(), scipy.stats.sem(gold)
    )
    np.testing.assert_allclose(contrast.gold_gain[2:], expected)
    self.assertIn('prompts only', pooling.legend(pooled))

  def test_better_and_worse_swapped(self):
    both = {'one': ('dpo', 'ppo'), 'other': ('ppo', 'dpo')}
    one, other = pooling.pool(RUNS, contrasts=both).contrasts.values()
    self.assertAlmostEqual(one.win_rate.value, 1 - other.win_rate.value)
    self.assertAlmostEqual(one.win_rate.low, 1 - other.win_rate.high)
    self.assertAlmostEqual(one.gold_gain.value, -other.gold_gain.value)

  def test_without_gold_the_learnt_reward_judges(self):
    runs = {
      0: {
        'sft': answers('sft', None, score=[0, 0, 0]),
        'ppo': answers('ppo', None, score=[1, 1, -1]),
      }
    }
    pooled = pooling.pool(runs, contrasts={'c': ('ppo', 'sft')})
    contrast = pooled.contrasts['c']
    self.assertEqual((pooled.judge, contrast.judge), ('score', 'score'))
    self.assertAlmostEqual(contrast.win_rate.value, 2 / 3)
    self.assertIsNone(contrast.gold_gain)

  def test_without_any_score_nobody_judges(self):
    bare = {name: answers(name, None, score=[0, 0]) for name in ('sft', 'ppo')}
    bare['ppo'] = dataclasses.replace(bare['ppo'], score=None)
    pooled = pooling.pool({0: bare}, contrasts={'c': ('ppo', 'sft')})
    self.assertIsNone(pooled.policies['ppo'].win_rate)
    self.assertEqual(pooled.contrasts['c'].verdict, 'not judged')

  def test_at_equal_length_each_seed_is_one_observation(self):
    # Responses of one length: nothing to correct for.
    found = pooling.pool(RUNS)
    pooled = found.policies['dpo'].length_controlled
    np.testing.assert_allclose(pooled.value, (0.75 + 0.875) / 2, atol=0.01)
    np.testing.assert_allclose(pooled.standard_error, 0.125 / 2, atol=0.01)
    # PPO wins every match of one seed, which says nothing of length.
    self.assertIsNone(found.policies['ppo'].length_controlled)
    self.assertIn(
      'The win rate of ppo at equal length cannot be told',
      pooling.legend(found),
    )

  @parameterized.parameters(
    (0.501, 0.7, 'holds'),
    (0.5, 0.7, 'undecided'),
    (0.3, 0.5, 'undecided'),
    (0.3, 0.499, 'does not'),
  )
  def test_verdicts(self, low, high, expected):
    self.assertEqual(claims.verdict(Estimate(0.5, 0.1, low, high)), expected)

  def test_refuses_a_policy_that_a_seed_lacks(self):
    lacking = {k: v for k, v in RUNS[5].items() if k != 'dpo'}
    with self.assertRaisesRegex(ValueError, "seed 5 has no samples of 'dpo'"):
      pooling.pool(RUNS | {5: lacking})

  def test_a_judge_of_ones_own_decides(self):
    asked = []

    def judge(prompts, first, second):
      asked.extend(zip(first, second, strict=True))
      return [float('ppo' in a) for a in first]

    pooled = pooling.pool(RUNS, contrasts={'c': ('dpo', 'ppo')}, judge=judge)
    self.assertEqual(pooled.policies['ppo'].by_seed, (1.0, 1.0))
    self.assertEqual(pooled.policies['dpo'].by_seed, (0.0, 0.0))
    contrast = pooled.contrasts['c']
    self.assertEqual((contrast.judge, contrast.verdict), ('judge', 'does not'))
    self.assertEqual(contrast.by_seed, (0.0, 0.0))
    self.assertEqual(contrast.gold_gain.value, 0.5 / 8)
    self.assertIn('judge', pooled.judged_by)
    self.assertLen(asked, 3 * 2 * 4)

  def test_refuses_no_seed(self):
    with self.assertRaisesRegex(ValueError, 'no seed'):
      pooling.pool({})


class PagesTest(absltest.TestCase):
  def test_what_is_written(self):
    pooled = pooling.pool(RUNS, contrasts={'dpo is best': ('dpo', 'ppo')})
    with tempfile.TemporaryDirectory() as folder:
      out = pathlib.Path(folder, 'new')
      shown = pooling.write(
        out, pooled, title='Two | seeds', notes=['Seed 7 is left out.']
      )
      found = json.loads((out / 'pooled.json').read_text())
      page = (out / 'pooled.md').read_text()
    self.assertEqual(found['seeds'], [3, 5])
    self.assertEqual(found['policies']['ppo']['win_rate']['value'], 0.875)
    contrast = found['contrasts']['dpo is best']
    self.assertEqual(contrast['verdict'], 'undecided')
    self.assertEqual(contrast['by_seed'], [0.5, 0.625])
    for text in (page, shown):
      self.assertIn('Seed 7 is left out.', text)
      self.assertIn('0.75, 1.00', text)
      self.assertIn('dpo is best: undecided; dpo wins', text.replace('*', ''))
    self.assertIn('| policy | wins against sft | gold | KL, nats |', page)
    self.assertIn('| policy | wins at equal length | tokens | by seed |', page)
    self.assertIn('KL is from the starting policy', page)
    # A verdict and its interval stand once, and each seed's number below.
    self.assertIn('| claim | by seed |', page)
    self.assertIn('| dpo is best | 0.50, 0.62 |', page)
    self.assertEqual(page.count('undecided'), 1)

  def test_what_has_no_error_is_null(self):
    run = seed([0], [1], [1])
    found = report.plain(pooling.pool({0: run}))
    self.assertIsNone(found['policies']['ppo']['gold']['low'])
    json.dumps(found, allow_nan=False)

  def test_without_claims_there_is_no_table_of_them(self):
    pooled = pooling.pool(RUNS)
    self.assertEmpty(claims.rows(pooled.contrasts))
    with tempfile.TemporaryDirectory() as folder:
      pooling.write(pathlib.Path(folder), pooled, title='t')
      page = pathlib.Path(folder, 'pooled.md').read_text()
    self.assertNotIn('verdict', page)


if __name__ == '__main__':
  absltest.main()
