"""What sandbox experiments measure reward models on, and beside what."""

from absl.testing import absltest

from experiments import sandbox_chain
from experiments.rlp import implicit, published
from experiments.sandbox_chain import measures
from rlhf_jax.types import Comparison, Message, Prompt

BRIEF = Prompt((Message('user', 'what is 6 plus 2 ? brief'),))


class MeasuresTest(absltest.TestCase):
  def test_each_set_of_comparisons_has_its_ceiling(self):
    evaluation = published.config(published.Settings()).evaluation
    # That of UML is the first one's, and rescaling learns from no more.
    more = 'with reward_model_spg_pairs'
    self.assertEqual(
      {k: fitted.data for k, fitted in evaluation.fitted_rewards.items()},
      {
        'ceiling': ('preferences',),
        'phrases alone': ('preferences',),
        f'ceiling {more}': ('preferences', 'reward_model_spg_pairs'),
        f'phrases alone {more}': ('preferences', 'reward_model_spg_pairs'),
      },
    )
    self.assertEqual(
      list(evaluation.sample_pairs), ['minimal', 'right on wrong']
    )

  def test_so_has_that_of_a_policy_that_is_read_as_a_reward(self):
    evaluation = implicit.config(implicit.Settings()).evaluation
    self.assertEqual(
      [fitted.data for fitted in evaluation.fitted_rewards.values()],
      [('preferences',)] * 2 + [('preferences', 'implicit_pairs')] * 2,
    )

  def test_the_ceiling_knows_answers_and_phrases_alone_do_not(self):
    ceilings = sandbox_chain.ceilings(('comparisons',))
    shown = [Comparison(BRIEF, ('8 .', '7 .'))]
    sides = [BRIEF] * 2, ['8 .', '7 .']
    right, wrong = ceilings['ceiling'].fit(shown)(*sides)
    self.assertGreater(right, wrong)
    right, wrong = ceilings['phrases alone'].fit(shown)(*sides)
    self.assertEqual(right, wrong)

  def test_without_reward_models_there_is_nothing_to_bound(self):
    stages = sandbox_chain.sft_stages(sandbox_chain.Settings())
    self.assertEqual(measures.compared(stages), [])
    found = sandbox_chain.reward_measures(stages)
    self.assertEqual(found['fitted_rewards'], {})


if __name__ == '__main__':
  absltest.main()
