"""Experiments that cannot be run as they are written."""

import dataclasses
import pathlib
import tempfile

from absl.testing import absltest, parameterized

from experiments.rlhf import sandbox
from rlhf_jax import experiment as experiments
from rlhf_jax.experiment import ExperimentError, overrides


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
        sandbox.config(sandbox.Settings()), [(f'stages.{stage}.data', data)]
      )

  def test_a_mistyped_dataset_is_told_with_those_there_are(self):
    experiment = overrides.apply(
      sandbox.config(sandbox.Settings()), [('stages.sft.data', 'demos')]
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
        chain.data.records('demos')

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
      sandbox.config(sandbox.Settings()), [('model.vocab_size', '7')]
    )
    with (
      tempfile.TemporaryDirectory() as folder,
      self.assertRaisesRegex(ExperimentError, 'raise model.vocab_size'),
    ):
      experiments.prepare(experiment, pathlib.Path(folder))


if __name__ == '__main__':
  absltest.main()
