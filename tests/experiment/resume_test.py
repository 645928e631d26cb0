"""A run that is killed and started again ends where an unbroken one does."""

import numpy as np
import pytest

from rlhf_jax.training.metrics import read_jsonl
from tests.experiment.killed import contents, kill_in_the_middle, start

FILE = 'experiments/rlhf/sandbox.py'
SMALL = (
  'sft_steps=30',
  'pairs=64',
  'ppo_steps=6',
  'stages.sft.checkpoint_every=5',
  'stages.sft.log_every=1',
  'stages.sft.config.batch_size=16',
  'stages.reward_model.config.batch_size=16',
  'stages.reward_model.config.steps=4',
  'stages.preferences.config.batch_size=32',
  'stages.ppo.checkpoint_every=1',
  'stages.ppo.config.batch_size=16',
  'evaluation.count=8',
  'evaluation.batch_size=8',
)


def parameters(folder, stage):
  import orbax.checkpoint as ocp

  with ocp.StandardCheckpointer() as checkpointer:
    return checkpointer.restore((contents(folder, stage) / 'params').absolute())


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """An unbroken run, and one killed in SFT, then in PPO, then let end."""
  root = tmp_path_factory.mktemp('resume')
  unbroken, broken = root / 'unbroken', root / 'broken'
  for folder in (unbroken, broken):
    folder.mkdir()
  process = start(unbroken, FILE, SMALL)
  assert process.wait(600) == 0, (unbroken / 'log.txt').read_text()
  kill_in_the_middle(start(broken, FILE, SMALL), broken, 'sft', 12)
  kill_in_the_middle(start(broken, FILE, SMALL), broken, 'ppo', 2)
  assert start(broken, FILE, SMALL).wait(600) == 0, (
    broken / 'log.txt'
  ).read_text()
  return unbroken, broken


@pytest.mark.parametrize('stage', ['sft', 'reward_model', 'ppo'])
def test_ends_bit_for_bit_where_an_unbroken_run_does(runs, stage):
  import jax

  one, other = (parameters(folder, stage) for folder in runs)
  assert jax.tree.structure(one) == jax.tree.structure(other)
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
    np.testing.assert_array_equal(a, b)


def test_was_resumed_and_not_begun_again(runs):
  log = (runs[1] / 'log.txt').read_text()
  assert 'sft  resumed at step' in log, log
  assert 'ppo  resumed at step' in log, log


@pytest.mark.parametrize('stage', ['sft', 'ppo'])
def test_metrics_have_each_step_once(runs, stage):
  one, other = (
    read_jsonl(contents(folder, stage) / 'metrics.jsonl') for folder in runs
  )
  assert [row['step'] for row in one] == [row['step'] for row in other]
  name = {'sft': 'nll_per_token', 'ppo': 'kl'}[stage]
  assert [row[name] for row in one] == [row[name] for row in other]


@pytest.mark.parametrize('stage', ['sft', 'ppo'])
def test_samples_are_those_of_an_unbroken_run(runs, stage):
  one, other = (
    (contents(folder, stage) / 'samples.txt').read_bytes() for folder in runs
  )
  assert one and one == other


def test_the_same_comparisons_were_written(runs):
  one, other = (
    (contents(folder, 'preferences') / 'records.jsonl').read_text()
    for folder in runs
  )
  assert one == other
