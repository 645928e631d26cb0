"""What stages name is there and is what they need, before anything runs."""

import dataclasses
import functools
import io
import pathlib
import tempfile

from absl.testing import absltest, parameterized

from experiments.rlhf import sandbox
from experiments.steerlm import steering
from rlhf_jax import experiment as experiments
from rlhf_jax.data import orders
from rlhf_jax.experiment import dataset_validation, overrides, validation
from rlhf_jax.losses import pairwise
from rlhf_jax.methods import dpo, kto, reward_model, simpo
from rlhf_jax.types import Comparison, Message, Prompt


def rlhf():
  return sandbox.config(sandbox.Settings())


def prepared(experiment):
  with tempfile.TemporaryDirectory() as folder:
    return experiments.prepare(
      experiment, pathlib.Path(folder), console=io.StringIO()
    )


class StagesTest(parameterized.TestCase):
  """All that is known when the experiment is made."""

  @parameterized.parameters(
    ('ppo.frozen.reward', 'sft', "reward from 'sft', which trains a policy; "
     'there are reward_model'),
    ('ppo.frozen.reference', 'reward_model', 'which trains a reward; there are '
     'sft'),
    ('ppo.frozen.reward', 'preferences', 'which writes a dataset; earlier are '
     'sft, reward_model'),
    ('ppo.frozen.reward', 'reward_modle', "did you mean 'reward_model'"),
    ('ppo.start.policy', 'reward_model', 'starting policy from'),
    ('ppo.start.policy', 'ppo', 'is no earlier stage'),
    ('preferences.policy', 'reward_model', 'is no earlier stage; earlier are '
     'sft'),
    ('preferences.policy', '', "policy from '', which is no earlier stage"),
    ('preferences.policy', 'none', 'this stage samples responses; name'),
    ('sft.extra_data', 'prompts', "data is 'prompts', and this method takes n"),
    ('sft.data', 'preferences', 'which is no earlier stage'),
    ('ppo.collect', 'none', 'learns from what it samples; give the collect'),
    ('ppo.data', 'sft', 'trains a policy and writes no dataset; those that do '
     'are preferences'),
  )  # fmt: skip
  def test_refuses(self, name, text, message):
    name = f'stages.{name}'
    with self.assertRaisesRegex(overrides.OverrideError, message) as caught:
      overrides.apply(rlhf(), [(name, text)])
    self.assertStartsWith(str(caught.exception), name)

  def test_a_stage_has_the_config_of_its_method(self):
    stages = {'sft': rlhf().stages['sft']._replace(config=sandbox.Settings())}
    with self.assertRaisesRegex(
      validation.ExperimentError,
      'stages.sft.config is a Settings without steps, batch_size',
    ):
      validation.check_stages(stages)

  @parameterized.parameters('a/b', '../x', '', 'a b', 'x' * 101, '.hidden')
  def test_a_stage_has_a_name_that_a_folder_can_have(self, name):
    stages = {name: rlhf().stages['sft']}
    with self.assertRaisesRegex(
      experiments.ExperimentError, 'a stage is called .*; take a name of at m'
    ):
      validation.check_stages(stages)

  @parameterized.parameters(
    ('ppo', {}, 'it samples responses to its prompts'),
    ('sft', {'curriculum': object()}, 'its curriculum says which examples'),
    ('kto', {}, 'config.objective compares the examples of a batch'),
  )
  def test_an_order_is_for_examples_that_count_each_alone(
    self, name, changes, reason
  ):
    stages = rlhf().stages | kto.stages(
      kto.Config(steps=1), data='preferences', start='sft'
    )
    stage = stages[name]._replace(**changes)
    self.assertIsNone(stage.order)
    self.assertIsNone(experiments.ordered({name: stage})[name].order)
    stages[name] = stage._replace(order=orders.of_like_length)
    with self.assertRaisesRegex(
      experiments.ExperimentError,
      f'stages.{name}.order is set, and its batches have to be drawn at random:'
      f' {reason}',
    ):
      validation.check_stages(stages)

  def test_a_stage_has_a_curriculum_or_a_mixture(self):
    stages = rlhf().stages
    stages['sft'] = stages['sft']._replace(
      curriculum=object(), mixture=object()
    )
    with self.assertRaisesRegex(
      experiments.ExperimentError, 'stages.sft has a curriculum and a mixture'
    ):
      validation.check_stages(stages)

  def test_all_other_stages_can_be_ordered(self):
    found = experiments.ordered(rlhf().stages)
    ordered = {n for n, s in found.items() if getattr(s, 'order', None)}
    self.assertEqual(ordered, {'sft', 'reward_model'})
    validation.check_stages(found)

  @parameterized.parameters('data', 'evaluation')
  def test_a_stage_takes_no_name_that_something_else_has(self, name):
    with self.assertRaisesRegex(
      experiments.ExperimentError, f'a stage is called {name!r}, as the {name}'
    ):
      validation.check_stages({name: rlhf().stages['sft']})

  def test_there_are_stages_and_one_trains_a_policy(self):
    with self.assertRaisesRegex(experiments.ExperimentError, 'has none'):
      dataclasses.replace(rlhf(), stages={}, contrasts={})

  def test_values_of_a_stage_in_python(self):
    stages = dict(rlhf().stages)
    stages['sft'] = stages['sft']._replace(log_every=0)
    with self.assertRaisesRegex(
      experiments.ExperimentError, r'stages.sft.log_every is 0; it must be in'
    ):
      validation.check_stages(stages)

  def test_an_objective_that_reads_a_reference_needs_one(self):
    earlier = {'sft': rlhf().stages['sft']}
    for function, reads in (
      (pairwise.dpo, 'reference_chosen_logps, reference_rejected_logps'),
      (pairwise.ipo_mean, 'chosen_log_ratios, rejected_log_ratios'),
      (pairwise.chosen_only, 'chosen_log_ratios'),
    ):
      objective = functools.partial(function, beta=0.1)
      config = simpo.Config(steps=1, objective=objective)
      with self.assertRaisesRegex(
        experiments.ExperimentError,
        f"simpo.config.objective reads {reads}, and stage 'simpo' keeps no",
      ):
        validation.check_stages(
          earlier | simpo.stages(config, data='comparisons')
        )
    config = dpo.Config(steps=1)
    validation.check_stages(earlier | dpo.stages(config, data='comparisons'))


class DatasetsTest(parameterized.TestCase):
  """What is known once the source is read."""

  @parameterized.parameters(
    ('stages.sft.data', 'comparisons', "stage 'sft' .* 'comparisons', which "
     'holds .* Comparison, and Demonstration is needed, as in demonstrations'),
    ('stages.sft.data', 'demonstratons', "did you mean 'demonstrations'"),
    ('stages.reward_model.data', 'prompts', 'Comparison is needed'),
    ('stages.ppo.data', 'preferences', 'kind Comparison, and Prompt is needed'),
    ('evaluation.prompts', 'nope', "evaluation.prompts is 'nope', and there"),
    ('evaluation.comparisons', 'test_prompts', 'Comparison is needed'),
  )  # fmt: skip
  def test_refuses(self, name, text, message):
    experiment = overrides.apply(rlhf(), [(name, text)])
    with self.assertRaisesRegex(experiments.ExperimentError, message):
      prepared(experiment)

  def test_ratings_are_not_demonstrations(self):
    experiment = overrides.apply(
      steering.config(steering.Settings()),
      [('stages.attribute_model.data', 'demonstrations')],
    )
    with self.assertRaisesRegex(
      experiments.ExperimentError, 'kind Demonstration, and Rated is needed'
    ):
      prepared(experiment)

  def test_an_empty_dataset(self):
    with self.assertRaisesRegex(
      experiments.ExperimentError, "from 'demonstrations', which is empty"
    ):
      dataset_validation.check_datasets(
        {'sft': rlhf().stages['sft']}, {'demonstrations': []}
      )

  @parameterized.parameters(dpo, simpo, reward_model)
  def test_single_responses_are_not_compared(self, method):
    prompt = Prompt((Message('user', 'q'),), where='labels.jsonl:7')
    pair = Comparison(prompt._replace(where=''), ('a', 'b'))
    single = Comparison(prompt, ('a',), scores=(1.0,))
    config = method.Config(steps=1)
    stages = method.stages(config, data='comparisons', name='own')
    with self.assertRaisesRegex(
      experiments.ExperimentError,
      "^labels.jsonl:7: stage 'own' compares 2 .*take rlhf_jax.methods.kto$",
    ):
      dataset_validation.check_datasets(stages, {'comparisons': [pair, single]})
    dataset_validation.check_datasets(stages, {'comparisons': [pair, pair]})
    alone = kto.stages(kto.Config(steps=1), data='comparisons')
    dataset_validation.check_datasets(alone, {'comparisons': [pair, single]})

  def test_several_datasets_of_one_kind_serve(self):
    experiment = overrides.apply(
      rlhf(), [('stages.reward_model.data', 'preferences,comparisons')]
    )
    self.assertEqual(
      experiment.stages['reward_model'].data, ('preferences', 'comparisons')
    )
    prepared(experiment)


if __name__ == '__main__':
  absltest.main()
