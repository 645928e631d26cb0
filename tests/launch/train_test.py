"""The command line: what it prints, and one sentence for every mistake."""

import contextlib
import io
import json
import pathlib

import pytest

from launch import generate, train
from rlhf_jax.losses import pairwise

SANDBOX = 'experiments/rlhf/sandbox.py'
HH = 'experiments/rlhf/hh.py'


def run(command, *arguments):
  """Exit status, standard output and standard error of a command."""
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    status = command.main(list(map(str, arguments)))
  return status, out.getvalue(), err.getvalue()


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
  monkeypatch.chdir(pathlib.Path(__file__).parents[2])


def test_the_whole_config_is_printed():
  status, out, _ = run(
    train, SANDBOX, '--print-config', '--set', 'seed=3',
    '--set', 'stages.ppo.config.kl_coef=0.25',
    '--set', 'stages.ppo.config.kl_estimator=rlhf_jax.kernels.divergences.k3',
  )  # fmt: skip
  lines = out.splitlines()
  assert status == 0
  assert 'seed = 3' in lines
  assert 'stages.ppo.config.kl_coef = 0.25' in lines
  assert (
    'stages.ppo.config.kl_estimator = "rlhf_jax.kernels.divergences.k3"'
    in (lines)
  )
  assert 'stages.ppo.config.objective.clip_epsilon = 0.2' in lines
  assert 'stages.sft.config.optimizer.learning_rate = 0.003' in lines


def test_another_objective_keeps_its_beta():
  ipo = f'{pairwise.ipo_sum.__module__}.ipo_sum'
  status, out, err = run(
    train, 'experiments/dpo/against_ppo.py', '--print-config',
    '--set', f'stages.dpo.config.objective={ipo}',
    '--set', f'stages.dpo_beta_0.3.config.objective={ipo}',
    '--set', 'stages.dpo_beta_0.3.config.objective.beta=0.25',
  )  # fmt: skip
  assert status == 0, err
  lines = out.splitlines()
  for name, beta in (('dpo', 0.1), ('dpo_beta_0.3', 0.25)):
    assert f'stages.{name}.config.objective.function = "{ipo}"' in lines
    assert f'stages.{name}.config.objective.beta = {beta}' in lines


MISTAKES = {
  'no such file': (
    ('experiments/rlhf/sandbx.py',),
    ('there is no experiment experiments/rlhf/sandbx.py', SANDBOX),
  ),
  'no such setting': (
    (SANDBOX, '--set', 'sede=1'),
    ('no sede', 'did you mean seed'),
  ),
  'no such stage': (
    (SANDBOX, '--set', 'stages.pop.config.kl_coef=1'),
    ('no stages.pop', 'did you mean ppo'),
  ),
  'no such value': (
    (SANDBOX, '--set', 'stages.ppo.config.kl_cof=1'),
    ('no stages.ppo.config.kl_cof', 'did you mean kl_coef'),
  ),
  'wrong type': (
    (SANDBOX, '--set', 'ppo_steps=many'),
    ('ppo_steps takes int', "'many'"),
  ),
  'no equals sign': (
    (SANDBOX, '--set', 'seed'),
    ('--set takes NAME=VALUE', "'seed'"),
  ),
  'nothing to resume': (
    (SANDBOX, '--resume', 'nowhere'),
    ('nowhere holds no config.json',),
  ),
  'no data': (
    (HH, '--set', 'data_dir=nowhere'),
    ('nowhere', 'alpaca_subset.jsonl.gz|hh_'),
  ),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_is_told_in_a_sentence(mistake, tmp_path):
  arguments, said = MISTAKES[mistake]
  status, _, err = run(train, *arguments, '--stages', tmp_path / 'stages')
  assert status == 1
  assert err.startswith('error: ') and err.count('\n') == 1, err
  for words in said:
    assert any(word in err for word in words.split('|')), err


def test_another_config_is_not_resumed(tmp_path):
  status, out, _ = run(train, SANDBOX, '--print-config')
  assert status == 0
  from rlhf_jax.experiment import describe

  module = train.load(pathlib.Path(SANDBOX))
  described = describe.describe(train.build(module, ['ppo_steps=7']))
  (tmp_path / 'config.json').write_text(json.dumps(described))
  status, _, err = run(train, SANDBOX, '--resume', tmp_path)
  assert status == 1
  assert 'stages.ppo.config.steps was 7 and is 40' in err


def test_a_policy_that_is_not_trained_cannot_answer(tmp_path):
  status, _, err = run(generate, SANDBOX, '--stages', tmp_path, '--prompt', 'x')
  assert status == 1
  assert "'ppo' is not trained yet" in err
  status, _, err = run(
    generate, SANDBOX, '--stages', tmp_path, '--policy', 'dpo', '--prompt', 'x'
  )
  assert status == 1
  assert "'dpo' is no policy of this experiment; there are sft, ppo" in err
