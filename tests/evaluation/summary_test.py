"""Every policy's numbers, from samples small enough to work out by hand."""

import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.evaluation import samples, summary
from rlhf_jax.types import Message, Prompt

PROMPTS = [
  Prompt((Message('user', f'question {i}'),), kind='ab'[i % 2])
  for i in range(4)
]
FIELDS = {
  'gold': np.array([1.0, 2.0, 3.0, 4.0]),
  'score': np.array([0.0, 0.0, 1.0, 1.0]),
  'kl': np.array([0.5, -0.5, 1.0, 1.0]),
}


def policy(name, responses, **fields):
  return samples.PolicySamples(
    name=name,
    prompts=PROMPTS,
    responses=responses,
    lengths=np.array([3, 5, 7, 9]),
    ended=np.array([True, True, True, False]),
    **fields,
  )


def pair(**fields):
  """sft, and a ppo that beats it on rows 0 to 2 by gold and loses row 3."""
  return {
    'sft': policy('sft', list('stuv'), **FIELDS),
    'ppo': policy('ppo', list('wxyz'), **fields),
  }


class SummariseTest(parameterized.TestCase):
  def test_measures_by_hand(self):
    actual = summary.summarise(pair(**FIELDS))['sft']
    self.assertIsNone(actual.win_rate)
    self.assertIsNone(actual.length_controlled)
    self.assertEqual(actual.by_kind, {})
    self.assertEqual(actual.gold.value, 2.5)
    self.assertEqual(actual.score.value, 0.5)
    self.assertEqual(actual.kl.value, 0.5)
    self.assertEqual(actual.length.value, 6.0)
    expected = np.std([3, 5, 7, 9], ddof=1) / 2
    self.assertAlmostEqual(actual.length.standard_error, expected)
    self.assertEqual(actual.ended, 0.75)
    self.assertEqual(actual.prompts, 4)

  def test_stored_gold_judges_where_all_have_it(self):
    fields = FIELDS | {'gold': np.array([2.0, 3.0, 4.0, 0.0])}
    actual = summary.summarise(pair(**fields))['ppo']
    self.assertEqual(actual.win_rate.value, 0.75)
    self.assertEqual(actual.judge, 'the gold reward')
    self.assertEqual(actual.against, 'sft')
    # Kind a is rows 0 and 2, kind b rows 1 and 3.
    rates = {kind: rate.value for kind, rate in actual.by_kind.items()}
    self.assertEqual(rates, {'a': 1.0, 'b': 0.5})

  def test_learnt_reward_judges_otherwise_and_says_so(self):
    fields = {'score': np.array([-1.0, -1.0, 0.0, 2.0])}
    actual = summary.summarise(pair(**fields))['ppo']
    self.assertEqual(actual.win_rate.value, 0.25)
    self.assertEqual(actual.judge, 'the learnt reward')
    self.assertIsNone(actual.gold)
    self.assertIsNone(actual.kl)

  def test_a_given_judge_decides(self):
    def judge(prompts, responses_a, responses_b):
      del prompts, responses_b
      return np.array([float(r in 'wx') for r in responses_a])

    actual = summary.summarise(pair(**FIELDS), judge=judge)['ppo']
    self.assertEqual(actual.win_rate.value, 0.5)
    self.assertRegex(actual.judge, r'summary_test\..*\.judge$')

  def test_any_policy_can_be_the_reference(self):
    fields = FIELDS | {'gold': np.array([2.0, 3.0, 4.0, 0.0])}
    forth = summary.summarise(pair(**fields))['ppo'].win_rate
    back = summary.summarise(pair(**fields), against='ppo')
    self.assertIsNone(back['ppo'].win_rate)
    self.assertAlmostEqual(back['sft'].win_rate.value, 1 - forth.value)
    self.assertAlmostEqual(back['sft'].win_rate.low, 1 - forth.high)

  def test_nobody_judges_where_nothing_can(self):
    fields = {'sft': {'gold': FIELDS['gold']}, 'ppo': {'kl': FIELDS['kl']}}
    found = {
      name: policy(name, list('stuv'), **fields[name]) for name in fields
    }
    actual = summary.summarise(found)['ppo']
    self.assertIsNone(actual.judge)
    self.assertIsNone(actual.win_rate)
    self.assertEqual(actual.kl.value, 0.5)

  def test_refuses_an_unknown_reference(self):
    with self.assertRaisesRegex(ValueError, "'chosen' .* there are sft, ppo"):
      summary.summarise(pair(**FIELDS), against='chosen')


if __name__ == '__main__':
  absltest.main()
