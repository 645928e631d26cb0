"""What stands beside RLP-SPG: what its arms learn from, and how it is read."""

import math

import numpy as np
from absl.testing import absltest, parameterized

from experiments.readings import reward_bench as reading
from experiments.rlp import manner, reward_bench
from rlhf_jax.evaluation import preference_accuracy, statistics
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.kernels import bottleneck


class RewardsTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.stages = reward_bench.config(reward_bench.Settings()).stages

  @parameterized.parameters(2, 8, 64)
  def test_west_of_n_is_of_sft_s_samples_beside_as_many_annotated(self, n):
    name = f'reward_model_west_of_{n}'
    drawn = self.stages[f'{name}_samples']
    self.assertEqual((drawn.policy, drawn.config.samples), ('sft', n))
    self.assertEqual(drawn.config.count, 4096)
    self.assertEqual(drawn.frozen, {'reward': 'reward_model'})
    student = self.stages[f'{name}_unscaled']
    control = self.stages['reward_model_control_unscaled']
    self.assertEqual(student.data, ('preferences', f'{name}_pairs'))
    self.assertEqual(student._replace(data=control.data), control)

  def test_old_pairs_are_weighed_by_the_policy_that_others_sample(self):
    weighed = self.stages['reward_model_weighted_pairs']
    self.assertEqual(weighed.policy, self.stages['policy_samples'].policy)
    self.assertEqual(weighed.frozen['reference'], 'sft')
    trained = self.stages['reward_model_weighted_unscaled']
    control = self.stages['reward_model_control_unscaled']
    self.assertEqual(trained.data, 'reward_model_weighted_pairs')
    self.assertEqual(trained.config, control.config)

  def test_bottlenecks_take_the_first_model_s_updates(self):
    first = self.stages['reward_model'].config
    paper, code = (
      self.stages[f'reward_model_{name}_unscaled'].config
      for name in ('inform', 'inform_released')
    )
    for config in (paper, code):
      for field in ('steps', 'batch_size', 'centering', 'optimizer'):
        self.assertEqual(getattr(config, field), getattr(first, field))
    self.assertIs(paper.divergence, bottleneck.standard_normal_kl)
    self.assertIs(code.divergence, bottleneck.averaged_standard_normal_kl)

  def test_members_begin_with_one_head_and_have_a_rate_each(self):
    members = [self.stages[f'member_{i}_unscaled'] for i in (1, 2, 3, 4)]
    for member in members:
      self.assertEqual(member.start, {'reward': 'reward_model_warm_head'})
      self.assertEqual(member.data, 'preferences')
    rates = [m.config.optimizer.learning_rate for m in members]
    self.assertEqual(rates, [0.00025, 0.0005, 0.00075, 0.001])
    averaged = self.stages['reward_model_warm_unscaled'].start.values()
    self.assertEqual(
      list(averaged), [f'member_{i}_unscaled' for i in (1, 2, 3, 4)]
    )
    scored = self.stages['ensemble'].frozen['reward'].members
    self.assertEqual(scored, ('member_1', 'member_2', 'member_3', 'member_4'))

  def test_votes_are_on_the_samples_of_what_is_trained(self):
    for name, samples in (
      ('scpo', 'policy_samples'),
      ('scpo_sft', 'sft_samples'),
    ):
      stage = self.stages[name]
      drawn = self.stages[samples]
      self.assertEqual(stage.start, {'policy': drawn.policy})
      self.assertEqual(stage.frozen, {'reference': drawn.policy})
      self.assertEqual(self.stages[f'{name}_pairs'].data, samples)
      self.assertEqual(drawn.config.count, 3 * 1480)

  def test_policies_that_learn_from_rewards_differ_in_these_alone(self):
    for module in (reward_bench, manner):
      stages = module.config(module.Settings()).stages
      ppo = stages['ppo']
      learnt = [
        stage
        for name, stage in stages.items()
        if getattr(stage, 'collect', None) and name != 'sampled_policy'
      ]
      self.assertGreater(len(learnt), 9)
      for stage in learnt:
        self.assertEqual(stage.config, ppo.config)


class MannerTest(absltest.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.stages = manner.config(manner.Settings()).stages

  def test_all_pairs_are_of_the_same_samples(self):
    for name, weight in (('', 1.0), ('_half', 0.5), ('_quarter', 0.25)):
      made = self.stages[f'reward_model_spg{name}_pairs']
      self.assertEqual(made.data, 'policy_samples')
      self.assertEqual(made.config.weight, weight)
    both = self.stages['reward_model_spg_and_restated_unscaled'].data
    self.assertEqual(
      both, ('preferences', 'reward_model_spg_pairs', 'restated_pairs')
    )

  def test_the_scale_of_manner_is_of_the_same_reward_model(self):
    scaled = self.stages['reward_model_spg_alike']
    self.assertEqual(scaled.start, {'reward': 'reward_model_spg_unscaled'})
    self.assertEqual(scaled.data, 'alike_pairs')
    policy = self.stages['spg_scaled_alike']
    self.assertEqual(policy.frozen['reward'], 'reward_model_spg_alike')

  def test_what_is_added_is_on_one_scale(self):
    first, other = self.stages['implicit_spg_added'].frozen['reward'].members
    self.assertEqual(first, 'reward_model')
    self.assertEqual(other.scale, 'implicit_spg_scale')
    self.assertEqual(other.reference, 'sft')


class ReadingTest(absltest.TestCase):
  def test_a_reward_is_read_on_the_sampled_policy_s_pairs(self):
    half = statistics.Estimate(0.5, 0.1, 0.3, 0.7)

    def on(share, **shares):
      return preference_accuracy.PairMetrics(
        accuracy=half._replace(value=share),
        log_loss=0.6,
        brier=0.2,
        calibration_error=0.1,
        calibration_slope=2.0,
        margin_mean=0.0,
        margin_sd=1.0,
        margin_quantiles=(0.0,) * 5,
        count=9,
        lengths=None,
        further={
          name: preference_accuracy.PairAccuracy(half._replace(value=x), 9)
          for name, x in shares.items()
        },
      )

    found = {
      'sft': on(0.7, minimal=0.4),
      'sampled_policy': on(0.6, minimal=0.9),
      'p': on(0.5),
    }
    numbers = reading.of_pairs(found, 'p')
    self.assertEqual(
      [numbers[name] for name in ('SFT', 'sampled', 'own policy')],
      [0.7, 0.6, 0.5],
    )
    self.assertEqual(numbers['minimal, sampled'], 0.9)
    self.assertTrue(math.isnan(numbers['right on wrong']))

  def test_gold_at_equal_kl(self):
    steps, kl = np.arange(3), np.array([0.0, 1.0, 4.0])
    curves = {
      'ppo': RewardCurve(steps, kl, kl, np.sqrt(kl)),
      'ours': RewardCurve(steps, kl, kl, np.sqrt(kl) + 0.25),
    }
    self.assertAlmostEqual(reading.equal_kl(curves, 'ours'), 0.25)
    self.assertTrue(math.isnan(reading.equal_kl(curves, 'scpo')))


if __name__ == '__main__':
  absltest.main()
