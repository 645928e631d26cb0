"""The bench of RLP: what its arms learn from, and its primary measures."""

import dataclasses
import io
import tempfile

import numpy as np
from absl.testing import absltest, parameterized

from experiments.readings import (
  rlp_bench,
  rlp_manner,
  rlp_penalties,
  rlp_views,
)
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
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.types import Message, Prompt, Sampled

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

  def test_gold_at_equal_kl(self):
    # Gold is 2 √KL and more; the second went twice as far.
    def curve(furthest, more):
      distances = np.linspace(0.0, furthest, 9)
      gold = 2.0 * distances + more
      return RewardCurve(np.arange(9), distances**2, gold, gold)

    curves = {
      'ppo': curve(2.0, 0.0),
      'control': curve(1.0, -0.25),
      'rlp_spg': curve(2.0, 0.5),
    }
    found = rlp_bench.at_equal_kl([curves])
    self.assertEqual(found['rlp_spg'], ['0.75', '0.50'])
    self.assertEqual(found['control'], ['0.00', '-0.25'])

  def test_gold_between_policies_of_three_penalties(self):
    # Gold is 3 √KL of one arm and 2 √KL of the other, which goes further.
    def policies(arm, furthest, slope):
      return {
        penalties.policy_of(arm, penalty): {
          'KL': (furthest * part) ** 2,
          'gold': slope * furthest * part,
        }
        for penalty, part in zip(
          (0.05, 0.1, 0.2), (1.0, 0.75, 0.5), strict=True
        )
      }

    found = policies('rlp_spg', 2.0, 3.0) | policies('control', 4.0, 2.0)
    curves = {
      arm: rlp_penalties.frontier(found, arm) for arm in ('rlp_spg', 'control')
    }
    # Both reach √KL 2 alone, from below and from above: no range in common.
    with self.assertRaisesRegex(ValueError, 'share no range'):
      rlp_penalties.gaps(curves, 'rlp_spg', ['control'])
    found |= policies('control', 3.0, 2.0)
    curves['control'] = rlp_penalties.frontier(found, 'control')
    gaps = rlp_penalties.gaps(curves, 'rlp_spg', ['control'])
    # From 1.5 to 2: √KL itself, 1.75 in the mean.
    self.assertAlmostEqual(gaps['control'], 1.75)

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


class ViewsTest(parameterized.TestCase):
  def test_how_variance_divides_is_of_its_components(self):
    # Prompts, two groups in each, and samples, of variance 1, 2 and 0.5.
    rng = np.random.default_rng(0)
    shape = (4000, 10)
    groups = np.tile(np.arange(10) % 2, (shape[0], 1))
    means = rng.normal(0.0, np.sqrt(2.0), (shape[0], 2))
    values = rng.normal(size=(shape[0], 1))
    values = values + np.take_along_axis(means, groups, axis=1)
    values = values + rng.normal(0.0, np.sqrt(0.5), shape)
    found = rlp_views.shares(values, groups)
    # Σ (mₖ − m̄)² over ten samples is 10 · 1, and Σ (e − ē)² is 9 · 0.5.
    within = (10.0 + 4.5) / 9.0
    between = 1.0 + 2.0 / 2.0 + 0.5 / 10.0 - within / 10.0
    share = within / (within + between)
    self.assertAlmostEqual(found.within, share, delta=0.02)
    # Of 14.5 what is left around the means of groups of five is 8 · 0.5.
    self.assertAlmostEqual(found.between_groups, 1.0 - 4.0 / 14.5, delta=0.02)

  @parameterized.parameters((0.355, 1.0), (0.475, 0.5), (0.865, 0.1))
  def test_what_a_bottleneck_keeps(self, s, beta):
    # Where the best encoder of a linear-Gaussian model changes to none.
    self.assertAlmostEqual(rlp_views.most_beta(s) / beta, 1.0, delta=0.01)

  def test_of_texts(self):
    right, wrong = 'it is 8 .', 'it is 4 .'
    drawn = Sampled(
      BRIEF, (right, wrong, right, right), (True,) * 4, (4,) * 4, (0.0,) * 4
    )
    other = drawn._replace(responses=(wrong, wrong, wrong, right))
    with np.errstate(invalid='ignore'):  # Some attributes do not vary here.
      found = rlp_views.measured([drawn, other])['correctness']
    # [4, 0, 4, 4] and [0, 0, 0, 4]: variance 4 in each; the means 3 and 1.
    self.assertAlmostEqual(found.within, 4.0 / (4.0 + 2.0 - 1.0))
    self.assertAlmostEqual(found.between_groups, 1.0)


if __name__ == '__main__':
  absltest.main()
