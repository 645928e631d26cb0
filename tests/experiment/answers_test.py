"""Answers are sampled once, kept by all they depend on, and read as written."""

import dataclasses
import functools
import pathlib
import tempfile

import jax
import numpy as np
from absl.testing import absltest, parameterized

from experiments.rlhf import sandbox
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.experiment import (
  ExperimentError,
  answers,
  overrides,
  prepare,
)
from rlhf_jax.experiment.addresses import stage_addresses
from rlhf_jax.storage.seals import DamagedError
from rlhf_jax.types import Message, Prompt

CLAIM = {'PPO beats SFT': ('ppo', 'sft')}


@functools.cache
def experiment(*assignments):
  """The sandbox, small, with values set as on the command line."""
  made = sandbox.config(sandbox.Settings())
  for assignment in ('evaluation.count=5', 'evaluation.batch_size=8',
                     'model.layers=1', *assignments):  # fmt: skip
    made = overrides.apply(made, [assignment.split('=')])
  return made


def file_of(policy, made=None):
  made = made or experiment()
  return answers.path(made, stage_addresses(made), pathlib.Path('s'), policy)


class FileTest(parameterized.TestCase):
  def test_what_is_read_is_what_was_written(self):
    generator = np.random.default_rng(0)
    single = generator.normal(size=4).astype(np.float32)
    written = PolicySamples(
      name='ppo',
      prompts=[
        Prompt((Message('user', 'one "odd"\n\u2028 line'),), 'kind', 'f:1'),
        Prompt((Message('user', 'é'), Message('assistant', '…'))),
        Prompt((Message('user', 'é'), Message('assistant', '…'))),
        Prompt((Message('user', ''),)),
      ],
      responses=['', '\ud800', 'a\x85b', '{"a": 1}'],
      lengths=np.array([1, 2, 3, 4]),
      ended=np.array([True, False, True, True]),
      gold=single / 3,
      kl=np.array([np.nan, np.inf, 1e-45, 1e308]),
    )
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder, 'answers.jsonl')
      answers.write(path, written)
      read = answers.read(path, 'ppo')
      self.assertEqual([p.name for p in path.parent.iterdir()], [path.name])
      self.assertIn('"prompt": 2, ', path.read_text().splitlines()[-2])
    self.assertIsNone(read.score)
    for field in ('name', 'prompts', 'responses'):
      self.assertEqual(getattr(read, field), getattr(written, field))
    # JSON has one word for what is not finite: null.
    np.testing.assert_array_equal(read.kl, [np.nan, np.nan, 1e-45, 1e308])
    for field in ('lengths', 'ended', 'gold'):
      np.testing.assert_array_equal(
        getattr(read, field), getattr(written, field), strict=field == 'lengths'
      )

  def test_it_lies_in_the_stage_s_folder(self):
    address = stage_addresses(experiment())['ppo']
    self.assertEqual(file_of('ppo').parent.name, address)

  @parameterized.parameters(
    ('evaluation.count=7', {'sft', 'ppo'}),
    ('evaluation.samples=3', {'sft', 'ppo'}),
    ('evaluation.temperature=0.5', {'sft', 'ppo'}),
    ('evaluation.prompts=validation_prompts', {'sft', 'ppo'}),
    ('evaluation.against=ppo', {'sft', 'ppo'}),
    ('evaluation.batch_size=4', set()),
    ('stages.ppo.config.kl_coef=0.5', {'ppo'}),
    ('stages.reward_model.config.steps=3', {'sft', 'ppo'}),
    ('seed=1', {'sft', 'ppo'}),
    ('data.seed=1', {'sft', 'ppo'}),
    ('stages.ppo.log_every=3', set()),
    ('title=other', set()),
  )
  def test_the_name_changes_with_what_matters_alone(self, assignment, expected):
    other = experiment(assignment)
    changed = {p for p in ('sft', 'ppo') if file_of(p) != file_of(p, other)}
    self.assertEqual(changed, expected)

  def test_settings_are_chosen_on_prompts_of_their_own(self):
    chosen_by = 'measure=experiments.sandbox_chain.validation'
    claimed, chosen = (
      overrides.build(sandbox, given) for given in ([], [chosen_by])
    )
    self.assertEqual(chosen.evaluation.prompts, 'validation_prompts')
    self.assertEqual(claimed.evaluation.prompts, 'test_prompts')
    # Nor on the pairs that claims are measured on.
    self.assertIsNone(chosen.evaluation.comparisons)
    same = dataclasses.replace(
      chosen.evaluation,
      prompts='test_prompts',
      comparisons='test_comparisons',
    )
    self.assertEqual(same, claimed.evaluation)
    # What is tried out and what is claimed share all that is trained.
    self.assertEqual(stage_addresses(chosen), stage_addresses(claimed))
    for policy in ('sft', 'ppo'):
      self.assertNotEqual(file_of(policy, chosen), file_of(policy, claimed))

  def test_another_arm_leaves_the_others_where_they_are(self):
    stages = dict(experiment().stages)
    stages['ppo_again'] = stages['ppo']._replace(log_every=1)
    more = dataclasses.replace(experiment(), stages=stages, contrasts=CLAIM)
    before = answers.paths(experiment(), 's')
    after = answers.paths(more, 's')
    self.assertEqual({k: after[k] for k in before}, before)
    self.assertEqual([*after], ['sft', 'ppo', 'ppo_again'])


class SampledOnceTest(absltest.TestCase):
  def test_sampled_and_scored_once(self):
    with tempfile.TemporaryDirectory() as folder:
      chain = prepare(experiment(), folder)
      for name in ('sft', 'reward_model', 'ppo'):
        stage = chain.experiment.stages[name]
        start = {r: chain.trained.params(s, r) for r, s in stage.start.items()}
        init = chain.trained.initialiser(name)
        chain.loaded[name] = init(jax.random.key(1), start)
        chain.folders[name].path.mkdir()
      first = answers.answer(chain, 'sft')
      self.assertLen(first.responses, 10)
      # SFT against itself: the log-ratio is nothing.
      np.testing.assert_array_equal(first.kl, np.zeros(10))
      gold = chain.corpus.gold(first.prompts, first.responses)
      np.testing.assert_array_equal(first.gold, gold)
      chain.loaded.clear()  # Without parameters nothing can be sampled.
      again = answers.answer(chain, 'sft')
      with self.assertRaisesRegex(DamagedError, 'params is not there'):
        answers.answer(chain, 'ppo')
    for field in dataclasses.fields(first):
      one, other = (getattr(s, field.name) for s in (first, again))
      self.assertEqual(list(one), list(other))


class ContrastsTest(parameterized.TestCase):
  def test_they_change_no_address(self):
    claimed = dataclasses.replace(experiment(), contrasts=CLAIM)
    self.assertEqual(stage_addresses(claimed), stage_addresses(experiment()))

  @parameterized.parameters('pop', 'reward_model', 'preferences')
  def test_what_is_no_policy_is_refused(self, name):
    with self.assertRaisesRegex(
      ExperimentError,
      f"'better' is about '{name}', and no.* there are sft, ppo",
    ):
      dataclasses.replace(experiment(), contrasts={'better': ('ppo', name)})


if __name__ == '__main__':
  absltest.main()
