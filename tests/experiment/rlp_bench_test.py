"""The bench of RLP: what its arms learn from, and its primary measures."""

import dataclasses
import io
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from experiments.readings import rlp_bench, rlp_manner
from experiments.rlp import (
  bench,
  implicit,
  manner,
  penalties,
  penalty_by_reading,
  pretraining,
  reward_bench,
)
from rlhf_jax import experiment
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.types import Message, Prompt

BRIEF = Prompt((Message('user', 'what is 6 plus 2 ? brief'),))


class BenchTest(absltest.TestCase):
  def test_rlp_and_its_control_differ_in_the_pairs_alone(self):
    stages = bench.config(bench.Settings()).stages
    names = ('reward_model_spg_unscaled', 'reward_model_control_unscaled')
    spg, control = (stages[name] for name in names)
    self.assertEqual(spg.data, ('preferences', 'reward_model_spg_pairs'))
    self.assertEqual(control.data, ('preferences',))
    self.assertEqual(spg._replace(data=control.data), control)
    rlp, other = stages['rlp_spg'], stages['control']
    self.assertEqual(rlp.config, other.config)
    self.assertEqual(rlp.frozen['reward'], 'reward_model_spg')
    self.assertEqual(other.frozen['reward'], 'reward_model_control')

  def test_samples_are_of_the_policy_that_went_half_as_far(self):
    stages = bench.config(bench.Settings()).stages
    drawn, sampled = stages['policy_samples'], stages['sampled_policy']
    self.assertEqual(drawn.policy, 'sampled_policy')
    self.assertEqual(drawn.config.count, 3 * 1480)
    self.assertEqual(
      sampled._replace(config=stages['ppo'].config), stages['ppo']
    )
    self.assertEqual(
      dataclasses.replace(sampled.config, steps=80), stages['ppo'].config
    )
    self.assertEqual(sampled.config.steps, 40)


class PreparedTest(parameterized.TestCase):
  @parameterized.parameters(
    bench,
    implicit,
    manner,
    penalties,
    penalty_by_reading,
    pretraining,
    reward_bench,
  )
  def test_nothing_is_wrong_with_its_stages(self, module):
    made = module.config(module.Settings())
    folder = self.enterContext(tempfile.TemporaryDirectory())
    run = experiment.prepare(made, folder, console=io.StringIO())
    for name in made.stages:
      self.assertFalse(run.folders[name].done)


class MeasuredTest(absltest.TestCase):
  def test_a_second_answer_word_is_not_right(self):
    said = ['it is 8 .', 'sure , 8 .', '8 or 7 .', 'it is 9 .', '']
    samples = PolicySamples(
      name='ppo',
      prompts=[BRIEF] * 5,
      responses=said,
      lengths=np.full(5, 4),
      ended=np.full(5, True),
      gold=np.array([1.0, 2.0, -1.0, 0.0, 0.5]),
    )
    self.assertEqual(rlp_bench.measured(samples), {'gold': 0.5, 'right': 0.4})

  def test_manner_decides_where_both_or_neither_are_right(self):
    def answered(said, gold):
      return PolicySamples(
        name='ppo',
        prompts=[BRIEF] * 4,
        responses=said,
        lengths=np.full(4, 4),
        ended=np.full(4, True),
        gold=np.array(gold),
        kl=np.array([1.0, 2.0, 1.0, 2.0]),
      )

    mine = answered(['8 .', '8 .', '9 .', 'it is 8 .'], [1.0, 0.5, 0.0, 2.0])
    theirs = answered(['it is 8 .', '7 .', '6 .', '8 .'], [1.5, 0.0, 0.0, 1.0])
    found = rlp_manner.measured(mine, theirs)
    # A loss, a win of a right one over a wrong one, a tie, a win.
    self.assertEqual(found['wins'], 2.5 / 4)
    self.assertEqual(found['wins by manner'], 1.5 / 3)
    self.assertEqual((found['right'], found['KL']), (0.75, 1.5))


if __name__ == '__main__':
  absltest.main()
