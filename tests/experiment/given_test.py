"""Stages that start afresh, or from a folder of parameters, by themselves."""

import dataclasses
import io
import pathlib
import shutil
import tempfile

import chex
import jax
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax import experiment as experiments
from rlhf_jax.experiment import (
  Evaluation,
  Experiment,
  ExperimentError,
  answers,
  overrides,
  running,
)
from rlhf_jax.experiment.addresses import stage_addresses
from rlhf_jax.methods import ppo, rloo
from rlhf_jax.training import checkpoints
from rlhf_jax.training.metrics import read_jsonl
from tests.experiment import small

PPO = ppo.Config(steps=2, batch_size=4, epochs=1, minibatches=1)
RLOO = rloo.Config(steps=2, batch_size=4, samples=2)


def words(prompts, responses):
  """The words of a response; none of one of a single word."""
  del prompts
  counts = [len(response.split()) for response in responses]
  return [n if n > 1 else None for n in counts]


def alone(stages, **changes):
  """An experiment of a single stage, which its policy is measured against."""
  (name,) = stages
  settings = {
    'seed': 0,
    'data': small.WORLD,
    'model': small.MODEL,
    'limits': small.LIMITS,
    'evaluation': Evaluation(count=3, batch_size=4, against=name),
  }
  return Experiment(stages=stages, **(settings | changes))


class GivenTest(parameterized.TestCase):
  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.root = pathlib.Path(
      cls.enterClassContext(tempfile.TemporaryDirectory())
    )
    cls.chain = small.chain(cls.root / 'chain', ppo.stages(PPO))
    cls.chain.loaded.clear()
    for name in ('sft', 'reward_model', 'ppo'):
      running.run_stage(cls.chain, name)

  def folder(self, stage):
    return str(self.chain.folders[stage].path / 'params')

  def prepared(self, experiment, at='alone'):
    return experiments.prepare(
      experiment, self.root / at, console=io.StringIO()
    )

  def test_given_parameters_are_as_good_as_the_stage_that_trained_them(self):
    stages = ppo.stages(
      PPO, start=self.folder('sft'), reward=self.folder('reward_model')
    )
    run = self.prepared(alone(stages))
    running.run_stage(run, 'ppo')
    one, other = (
      checkpoints.load_params(
        made.folders['ppo'].path / 'params',
        made.trained.abstract_params('ppo'),
      )
      for made in (self.chain, run)
    )
    self.assertEqual(set(one), {'policy', 'critic'})
    chex.assert_trees_all_equal(one, other)
    rows = [
      read_jsonl(made.folders['ppo'].path / 'metrics.jsonl')
      for made in (self.chain, run)
    ]
    for name in ('step', 'kl', 'score', 'loss/policy'):
      one, other = ([row[name] for row in of] for of in rows)
      self.assertEqual(one, other, name)
    self.assertEqual(run.loaded, {})

  def test_afresh_and_scored_by_a_program(self):
    stages = rloo.stages(RLOO, start=None, reward=words)
    results = experiments.run(
      alone(stages),
      self.root / 'out',
      stages_dir=self.root / 'fresh',
      console=io.StringIO(),
    )
    run = self.prepared(alone(stages), 'fresh')
    answered = answers.answer(run, 'rloo')
    np.testing.assert_array_equal(
      answered.score, np.array(words(None, answered.responses), float)
    )
    np.testing.assert_allclose(
      results['policies']['rloo']['score'], np.nanmean(answered.score)
    )
    # The reference is the policy's own start: it is left behind step by step.
    first, last = read_jsonl(run.folders['rloo'].path / 'metrics.jsonl')
    self.assertAlmostEqual(first['kl'], 0.0, places=5)
    self.assertGreater(abs(last['kl']), 1e-5)

  def test_from_the_command_line(self):
    made = small.chain(self.root / 'chain', ppo.stages(PPO)).experiment
    path = self.folder('sft')
    given = overrides.apply(
      made,
      [
        ('stages.ppo.start.policy', path),
        ('stages.ppo.frozen.reference', 'none'),
      ],
    )
    stage = given.stages['ppo']
    self.assertEqual(stage.start['policy'], path)
    self.assertIsNone(stage.frozen['reference'])
    fresh = overrides.apply(made, [('stages.ppo.start.policy', 'none')])
    addresses = [stage_addresses(e)['ppo'] for e in (made, given, fresh)]
    self.assertLen(set(addresses), 3)
    with self.assertRaisesRegex(
      overrides.OverrideError, 'frozen.reward is none; name an earlier stage'
    ):
      overrides.apply(made, [('stages.ppo.frozen.reward', 'none')])

  def test_the_address_covers_what_is_given(self):
    def address(folder):
      stages = rloo.stages(RLOO, start=str(folder), reward=words)
      return stage_addresses(alone(stages))['rloo']

    first = pathlib.Path(self.folder('sft'))
    copy = self.root / 'copy'
    shutil.copytree(first, copy)
    self.assertEqual(address(first), address(copy))
    like = self.chain.trained.abstract_params('sft')
    params = checkpoints.load_params(copy, like)
    checkpoints.save_params(copy, jax.tree.map(lambda x: 2 * x, params))
    self.assertNotEqual(address(first), address(copy))

  @parameterized.parameters(
    ('./nowhere', {}, 'from ./nowhere, which holds neither the config.json of'),
    ('nowhere', {}, "from 'nowhere', which is no earlier stage"),
    (
      'reward_model',
      {},
      'another model: it has the parameters of reward, and none that play a ',
    ),
    (
      'sft',
      {'model': dataclasses.replace(small.MODEL, width=8)},
      r'another model: .* is \(.*16\), and \(.*8\) in the policy of the sta',
    ),
  )
  def test_what_does_not_fit_is_one_sentence(self, start, changes, said):
    start = self.folder(start) if start in ('sft', 'reward_model') else start
    with self.assertRaisesRegex(ExperimentError, said) as caught:
      self.prepared(
        alone(rloo.stages(RLOO, start=start, reward=words), **changes)
      )
    self.assertNotIn('\n', str(caught.exception))

  def test_a_stage_s_folder_is_not_its_parameters(self):
    folder = str(self.chain.folders['sft'].path)
    stages = rloo.stages(RLOO, start=folder, reward=words)
    with self.assertRaisesRegex(
      ExperimentError, "'rloo' takes its policy from .* as OUT/stages/STAGE/par"
    ):
      self.prepared(alone(stages))

  def test_damage_is_told(self):
    broken = self.root / 'broken'
    shutil.copytree(self.folder('sft'), broken)
    (broken / 'manifest.ocdbt').write_bytes(b'')
    stages = rloo.stages(RLOO, start=str(broken), reward=words)
    with self.assertRaisesRegex(
      ExperimentError, 'broken, which .* or is damaged'
    ):
      self.prepared(alone(stages))


if __name__ == '__main__':
  absltest.main()
