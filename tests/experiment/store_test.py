"""Stage folders are addressed by what their content depends on."""

import dataclasses
import importlib
import pathlib
import sys
import tempfile
from unittest import mock

from absl.testing import absltest, parameterized

from experiments.rlhf import sandbox
from rlhf_jax import experiment as experiments
from rlhf_jax.experiment import ExperimentError, describe, overrides, store
from rlhf_jax.sandbox import World


def addresses(settings=None, **values):
  experiment = sandbox.config(settings or sandbox.Settings())
  for path, text in values.items():
    experiment = overrides.apply(experiment, path.replace('__', '.'), text)
  return store.addresses(experiment)


class AddressTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.base = addresses()

  def changed(self, other):
    return {name for name in self.base if self.base[name] != other[name]}

  @parameterized.parameters(
    ('stages.ppo.config.kl_coef', '0.5', {'ppo'}),
    ('stages.ppo.config.objective.clip_epsilon', '0.1', {'ppo'}),
    ('stages.reward_model.config.steps', '3', {'reward_model', 'ppo'}),
    ('stages.preferences.config.count', '3',
     {'preferences', 'reward_model', 'ppo'}),
    ('stages.sft.config.steps', '3',
     {'sft', 'preferences', 'reward_model', 'ppo'}),
    ('seed', '1', {'sft', 'preferences', 'reward_model', 'ppo'}),
    ('model.width', '32', {'sft', 'preferences', 'reward_model', 'ppo'}),
    ('data.demonstrations', '512',
     {'data', 'sft', 'preferences', 'reward_model', 'ppo'}),
    ('stages.ppo.log_every', '3', set()),
    ('stages.sft.checkpoint_every', '7', set()),
    ('evaluation.count', '7', set()),
    ('title', 'other', set()),
  )  # fmt: skip
  def test_changes_with_what_matters_alone(self, path, text, expected):
    experiment = overrides.apply(sandbox.config(sandbox.Settings()), path, text)
    self.assertEqual(self.changed(store.addresses(experiment)), expected)

  def test_two_experiments_share_what_is_the_same(self):
    longer = addresses(sandbox.Settings(ppo_steps=500, kl_coef=0.001))
    self.assertEqual(self.changed(longer), {'ppo'})

  def test_the_world_is_its_settings(self):
    self.assertNotEqual(
      store.addresses(
        dataclasses.replace(
          sandbox.config(sandbox.Settings()), data=World(seed=1)
        )
      )['data'],
      self.base['data'],
    )


ALL = {'sft', 'preferences', 'reward_model', 'ppo'}


def end_only(parts, limit, where):
  """What an experiment's own file may say of a prompt that is too long."""
  del where
  return parts.ids[-limit:]


class CodeTest(parameterized.TestCase):
  def changed(self, module, limits=None):
    """The stages whose address the code of a module is part of."""
    made = sandbox.config(sandbox.Settings())
    if limits is not None:
      made = dataclasses.replace(made, limits=limits)
    before = store.addresses(made)
    source = pathlib.Path(sys.modules[module].__file__).read_text('utf-8')

    def parsed(text, real=describe._parsed):
      return real(text + '\nCHANGED = 1\n' if text == source else text)

    with mock.patch.object(describe, '_parsed', parsed):
      after = store.addresses(made)
    return {name for name in ALL if before[name] != after[name]}

  @parameterized.parameters(
    ('data.encoding', ALL),
    ('data.limits', ALL),
    ('data.collation', ALL),
    ('data.batches', ALL),
    ('training.loop', ALL),
    ('models.transformer', ALL),
    ('generation.decode', ALL - {'sft'}),
    ('experiment.writing', ALL - {'sft'}),
    ('methods.reward_model', {'reward_model', 'ppo'}),
    ('methods.ppo', {'ppo'}),
    ('evaluation.report', set()),
    ('evaluation.win_rate', set()),
    ('methods.dpo', set()),
    ('experiment.run', set()),
    ('experiment.looking', set()),
  )
  def test_code_counts_where_it_decides_what_is_made(self, module, stages):
    importlib.import_module(f'rlhf_jax.{module}')
    self.assertEqual(self.changed(f'rlhf_jax.{module}'), stages)

  def test_a_function_that_the_limits_name_counts_with_its_code(self):
    limits = sandbox.config(sandbox.Settings()).limits
    own = dataclasses.replace(limits, overlong=end_only)
    self.assertEqual(self.changed(__name__), set())
    self.assertEqual(self.changed(__name__, own), ALL)


class ExperimentTest(parameterized.TestCase):
  def test_a_stage_needs_earlier_ones(self):
    experiment = sandbox.config(sandbox.Settings())
    stages = dict(experiment.stages)
    del stages['sft']
    with self.assertRaisesRegex(
      ExperimentError, "'preferences' takes its policy from 'sft', which is no"
    ):
      dataclasses.replace(experiment, stages=stages)

  @parameterized.parameters(
    ('sft', 'preferences', "'sft' takes its data from 'preferences', which is"),
    (
      'reward_model',
      'sft',
      "data from 'sft', which trains a policy and writes",
    ),
  )
  def test_data_come_from_earlier_stages(self, stage, data, message):
    with self.assertRaisesRegex(ValueError, message):
      overrides.apply(
        sandbox.config(sandbox.Settings()), f'stages.{stage}.data', data
      )

  def test_a_mistyped_dataset_is_told_with_those_there_are(self):
    experiment = overrides.apply(
      sandbox.config(sandbox.Settings()), 'stages.sft.data', 'demos'
    )
    with (
      tempfile.TemporaryDirectory() as folder,
      self.assertRaisesRegex(
        ExperimentError,
        "data from 'demos', and there is no such dataset before it; there "
        'are demonstrations, .*test_prompts',
      ),
    ):
      experiments.prepare(experiment, pathlib.Path(folder))

  def test_records_that_nobody_wrote_are_told_with_those_there_are(self):
    experiment = sandbox.config(sandbox.Settings())
    with tempfile.TemporaryDirectory() as folder:
      chain = experiments.prepare(experiment, pathlib.Path(folder))
      with self.assertRaisesRegex(
        ExperimentError,
        "no dataset 'demos'; there are demonstrations, .*, preferences$",
      ):
        chain.records('demos')

  def test_a_stage_has_not_the_name_of_a_dataset(self):
    experiment = sandbox.config(sandbox.Settings())
    stages = {
      {'preferences': 'comparisons'}.get(name, name): stage
      for name, stage in experiment.stages.items()
      if name in ('sft', 'preferences')
    }
    experiment = dataclasses.replace(experiment, stages=stages, contrasts={})
    with (
      tempfile.TemporaryDirectory() as folder,
      self.assertRaisesRegex(
        ExperimentError, "'comparisons' is named as a dataset of the source is"
      ),
    ):
      experiments.prepare(experiment, pathlib.Path(folder))

  def test_a_model_smaller_than_the_vocabulary_is_refused(self):
    experiment = overrides.apply(
      sandbox.config(sandbox.Settings()), 'model.vocab_size', '7'
    )
    with (
      tempfile.TemporaryDirectory() as folder,
      self.assertRaisesRegex(ExperimentError, 'raise model.vocab_size'),
    ):
      experiments.prepare(experiment, pathlib.Path(folder))


if __name__ == '__main__':
  absltest.main()
