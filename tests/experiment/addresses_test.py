"""Stage folders are addressed by what their content depends on."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from absl.testing import parameterized

from experiments.finetune import dpo as finetune
from experiments.rlhf import sandbox
from rlhf_jax.experiment import answers, overrides
from rlhf_jax.experiment.addresses import stage_addresses
from rlhf_jax.experiment.run import make
from rlhf_jax.methods import rloo
from rlhf_jax.sandbox import World
from rlhf_jax.storage import files
from tests.experiment import small

ROOT = pathlib.Path(__file__).parents[2]


def addresses(settings=None, **values):
  experiment = sandbox.config(settings or sandbox.Settings())
  for path, text in values.items():
    experiment = overrides.apply(experiment, [(path.replace('__', '.'), text)])
  return stage_addresses(experiment)


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
    experiment = overrides.apply(
      sandbox.config(sandbox.Settings()), [(path, text)]
    )
    self.assertEqual(self.changed(stage_addresses(experiment)), expected)

  def test_two_experiments_share_what_is_the_same(self):
    longer = addresses(sandbox.Settings(ppo_steps=500, kl_coef=0.001))
    self.assertEqual(self.changed(longer), {'ppo'})

  def test_the_world_is_its_settings(self):
    self.assertNotEqual(
      stage_addresses(
        dataclasses.replace(
          sandbox.config(sandbox.Settings()), data=World(seed=1)
        )
      )['data'],
      self.base['data'],
    )


def end_only(parts, limit, where):
  """What an experiment's own file may say of a prompt that is too long."""
  del where
  return parts.ids[-limit:]


def start_only(parts, limit, where):
  del where
  return parts.ids[:limit]


class OwnFunctionsTest(parameterized.TestCase):
  def test_a_function_of_the_limits_counts(self):
    made = sandbox.config(sandbox.Settings())
    found = [
      stage_addresses(
        dataclasses.replace(
          made, limits=dataclasses.replace(made.limits, overlong=overlong)
        )
      )
      for overlong in (end_only, start_only)
    ]
    self.assertEqual(
      {name for name in found[0] if found[0][name] != found[1][name]}, ALL
    )

  def test_an_experiment_file_has_the_addresses_that_python_gives_it(self):
    program = (
      'import json, pathlib, sys\n'
      'from launch import loading\n'
      'from rlhf_jax.experiment.addresses import stage_addresses\n'
      "module = loading.load(pathlib.Path('experiments/rlhf/sandbox.py'))\n"
      'print(json.dumps(stage_addresses(loading.build(module, []))))\n'
    )
    told = subprocess.run(
      [sys.executable, '-c', program],
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=True,
    ).stdout
    self.assertEqual(json.loads(told), addresses())


ALL = {'sft', 'preferences', 'reward_model', 'ppo'}
TRAINED = ALL - {'preferences'}
WRITTEN = ALL - {'sft'}  # What preferences make, and what rests on them.
PROGRAM = """
import json, pathlib, sys
from experiments.rlhf import sandbox
from rlhf_jax import addressing
from rlhf_jax.experiment.addresses import stage_addresses
from rlhf_jax.experiment.run import make
from rlhf_jax.experiment import answers

def asked():
  made = sandbox.config(sandbox.Settings())
  found = stage_addresses(made)
  path = answers.path(made, dict.fromkeys(found, ''), pathlib.Path(), 'ppo')
  return found | {'answers': path.name}

root = pathlib.Path(addressing.__file__).parents[2]
print(json.dumps(asked()))
for name, old, new in json.load(sys.stdin):
  path = root / 'rlhf_jax' / name
  text = path.read_text()
  assert text.count(old) == 1, (name, old, text.count(old))
  path.write_text(text.replace(old, new))
  print(json.dumps(asked()))
  path.write_text(text)
"""
# What is edited in a copy of the library, where, and what is made again for it.
ONCE = ALL | {'answers'}
EDITS = {
  'the order of an epoch': (
    'data/orders.py', 'return _shuffled(len(epoch.lengths), epoch.random())',
    'return np.arange(len(epoch.lengths))', ALL),
  'the keys of steps': (
    'training/loop.py', 'jax.random.fold_in(key, step)', 'key', ALL),
  'the end of a text': (
    'data/responses.py', 'if said.ended else ids', 'if False else ids', ONCE),
  'what a batch holds': (
    'data/collation.py', 'weight=np.array([e.held.weight for e in examples]',
    'weight=np.array([1.0 for e in examples]', ONCE),
  'what is compiled': (
    'training/compile.py', 'values[path] = value',
    'values[path] = 0', ALL),
  'the runner': (
    'experiment/running.py', 'init_key, run_key = jax.random.split(',
    'run_key, init_key = jax.random.split(', ALL),
  'the writer': (
    'experiment/dataset_writing.py', 'def write(', '@other\ndef write(',
    WRITTEN),
  'a name that nothing reads': (
    'models/layers.py', 'import chex', 'import chex\n\nEPSILON = 1', set()),
  'the attention': (
    'models/attention.py', 'def attend(', '@other\ndef attend(', ONCE),
  'the sampler': (
    'generation/response_writer.py', 'return ~self.written.ended & room',
    'return self.written.ended & room', ONCE),
  'a learner': (
    'learners/likelihood.py', 'mask = batch.response_mask[:, 1:]',
    'mask = batch.attention_mask[:, 1:]', ALL),
  'a loss': (
    'losses/supervised.py', 'return -logps', 'return +logps', ALL),
  'another loss': (
    'losses/supervised.py', 'jnp.maximum(', 'jnp.minimum(', {'ppo'}),
  'a loss that nobody takes': (
    'losses/supervised.py', 'jnp.where(', 'jnp.select(', set()),
  'a method': (
    'methods/ppo.py', 'def shape(', '@other\ndef shape(', {'ppo'}),
  'a method that nobody takes': (
    'methods/dpo.py', 'class Config', 'class Config_', set()),
  'a docstring': (
    'training/loop.py', '"""The one loop', '"""Again, the one loop', set()),
  'a comment': (
    'training/loop.py', 'start = int(state.step)',
    '# Rows.\n  start = int(state.step)', set()),
  'what people see': (
    'experiment/sample_log.py', 'def sample_logger(',
    '@other\ndef sample_logger(', set()),
  'the report': (
    'evaluation/report.py', 'def write(', '@other\ndef write(', set()),
  'the metrics file': (
    'training/metrics.py', 'class JsonlWriter', 'class JsonlWriter_', set()),
}  # fmt: skip


@pytest.fixture(scope='module')
def moved(tmp_path_factory):
  """{edit: the stages whose address it changes}, in a copy of the library."""
  root = tmp_path_factory.mktemp('edited')
  for name in ('rlhf_jax', 'experiments'):
    shutil.copytree(
      ROOT / name, root / name, ignore=shutil.ignore_patterns('__pycache__')
    )
  told = subprocess.run(
    [sys.executable, '-c', PROGRAM],
    cwd=root,
    input=json.dumps([edit[:3] for edit in EDITS.values()]),
    capture_output=True,
    text=True,
    env=os.environ | {'PYTHONPATH': str(root)},
  )
  assert told.returncode == 0, told.stderr
  before, *after = map(json.loads, told.stdout.splitlines())
  return {
    name: {stage for stage in before if before[stage] != found[stage]}
    for name, found in zip(EDITS, after, strict=True)
  }


@pytest.mark.parametrize('name', EDITS)
def test_an_edit_makes_again_what_runs_it(moved, name):
  assert moved[name] == EDITS[name][3]


def made_twice(tmp_path, change):
  """What the console says of a stage whose folder lies elsewhere, changed."""
  chain = small.chain(tmp_path, {})
  made, old = chain.folders['sft'].path, tmp_path / 'sft-0123456789ab'
  make(chain, 'sft', contextlib.ExitStack())
  made.rename(old)
  facts = json.loads((old / 'done.json').read_text())
  files.write_json(old / 'done.json', change(facts))
  make(chain, 'sft', contextlib.ExitStack())
  assert (made / 'done.json').exists() and (old / 'done.json').exists()
  return old, chain.console.getvalue()


def test_what_was_made_by_other_code_is_named(tmp_path):
  old, said = made_twice(tmp_path, dict)
  assert f'made again: {old} has the same settings' in said


@pytest.mark.parametrize('layout', [{}, {'layout': 2}, {'layout': 3}])
def test_what_an_earlier_version_made_is_named(tmp_path, layout):
  old, said = made_twice(
    tmp_path,
    lambda facts: {k: v for k, v in facts.items() if k != 'layout'} | layout,
  )
  assert f'made anew: {old} of an earlier version' in said
  assert 'made again' not in said


def test_another_stage_whose_name_begins_alike_is_not_named(tmp_path):
  old, said = made_twice(tmp_path, lambda facts: facts | {'stage': 'sft-0123'})
  assert str(old) not in said


def test_what_has_other_settings_is_not_named(tmp_path):
  first = small.chain(tmp_path, {})
  make(first, 'sft', contextlib.ExitStack())
  other = small.chain(tmp_path, {}, seed=1)
  make(other, 'sft', contextlib.ExitStack())
  assert 'made again' not in other.console.getvalue()


def one(prompts, responses):
  return [1.0] * len(responses)


def two(prompts, responses):
  return [2.0] * len(responses)


def test_who_judges_counts_where_it_is_noted_what_it_says(tmp_path):
  (tmp_path / 'pairs.jsonl').write_text('{"prompt": "q"}\n')
  found, answered = [], []
  for judge in (one, two):
    data = str(tmp_path / 'pairs.jsonl')
    settings = finetune.Settings(data=data, judge=judge)
    made = finetune.config(settings)
    samples = rloo.stages(rloo.Config(steps=1), reward=one)
    made = dataclasses.replace(made, stages={**made.stages, **samples})
    found.append(stage_addresses(made))
    answered.append(answers.path(made, found[-1], tmp_path, 'sft'))
  before, after = found
  assert {name for name in before if before[name] != after[name]} == {'rloo'}
  assert answered[0] != answered[1]
