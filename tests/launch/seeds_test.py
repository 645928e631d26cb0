"""Several seeds: what is run, what is skipped, what a failure leaves."""

import contextlib
import dataclasses
import io
import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from launch import seeds, tasks, train
from rlhf_jax import experiment as experiments
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.experiment import answers
from rlhf_jax.types import Message, Prompt

ROOT = pathlib.Path(__file__).parents[2]
SANDBOX = 'experiments/rlhf/sandbox.py'
CLAIMING = """
import dataclasses
from experiments.rlhf import sandbox

Settings = sandbox.Settings

def config(settings):
  contrasts = {'PPO beats SFT': ('ppo', 'sft')}
  return dataclasses.replace(sandbox.config(settings), contrasts=contrasts)
"""


def scored(name, gold):
  """Answers to as many prompts as there are gold rewards."""
  return PolicySamples(
    name=name,
    prompts=[Prompt((Message('user', f'{i}?'),)) for i in range(len(gold))],
    responses=[f'{name} {i}' for i in range(len(gold))],
    lengths=np.full(len(gold), 2),
    ended=np.ones(len(gold), bool),
    gold=np.array(gold, float),
    kl=np.zeros(len(gold)),
  )


class Runs:
  """Stands in for running: writes the answers that a run would leave."""

  def __init__(self):
    self.seeds, self.failing, self.made = [], {}, []

  def __call__(self, experiment, out, *, stages_dir, made, **unused):
    self.seeds.append(experiment.seed)
    self.made.append(made)
    if experiment.seed in self.failing:
      raise self.failing[experiment.seed]
    gold = {
      'sft': np.zeros(4),
      'ppo': np.array([1, 1, 1, -1 + experiment.seed]),
    }
    for name, path in answers.paths(experiment, stages_dir).items():
      path.parent.mkdir(parents=True, exist_ok=True)
      answers.write(path, scored(name, gold[name]))
    out.mkdir(parents=True, exist_ok=True)
    found = {'policies': {'sft': {'win_rate': 0.5}, 'ppo': {'win_rate': 0.75}}}
    (out / 'results.json').write_text(json.dumps(found))
    return found


@pytest.fixture
def runs(monkeypatch):
  stand_in = Runs()
  monkeypatch.setattr(experiments, 'run', stand_in)
  return stand_in


@pytest.fixture
def claiming(tmp_path, monkeypatch):
  """An experiment file with a contrast, in a folder of its own."""
  monkeypatch.chdir(ROOT)
  path = tmp_path / 'paper' / 'claim.py'
  path.parent.mkdir()
  path.write_text(CLAIMING)
  return path


def run(folder, *arguments):
  """Exit status, standard output and standard error of a command."""
  out, err = io.StringIO(), io.StringIO()
  arguments = [*arguments, '--stages', folder / 's', '--out', folder / 'out']
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    status = seeds.main(list(map(str, arguments)))
  return status, out.getvalue(), err.getvalue()


def lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_seed_is_run_written_down_and_pooled(runs, claiming, tmp_path):
  status, out, err = run(tmp_path, claiming, '--seeds', 0, 2)
  assert (status, err, runs.seeds) == (0, '', [0, 2])
  written = lines(tmp_path / 'out' / 'ledger.jsonl')
  assert [line['seed'] for line in written] == [0, 2]
  assert written[0]['file'] == str(claiming)
  assert written[0]['win_rates'] == {'sft': 0.5, 'ppo': 0.75}
  assert written[0]['digest'] != written[1]['digest']
  folder = tmp_path / 'out' / 'seeds-0-2'
  pooled = json.loads((folder / 'pooled.json').read_text())
  # PPO wins 3 of 4 under seed 0, and 4 of 4 under seed 2.
  assert pooled['policies']['ppo']['win_rate']['value'] == 7 / 8
  assert pooled['contrasts']['PPO beats SFT']['by_seed'] == [0.75, 1.0]
  # Student's interval of two seeds ends far above 1, which no rate does.
  assert pooled['policies']['ppo']['win_rate']['high'] == 1.0
  assert 'PPO beats SFT' in out and 'paper/claim seed 2' in out
  page = (folder / 'pooled.md').read_text()
  assert f'launch.seeds {claiming} --seeds 0 2`' in page
  assert '[seed 2](../seed-2/report.md)' in page
  assert runs.made[0][0].endswith(f'launch.train {claiming} --set seed=0`')
  # Other seeds have pages of their own.
  run(tmp_path, claiming, '--seeds', 2)
  assert json.loads((folder / 'pooled.json').read_text()) == pooled
  assert (tmp_path / 'out' / 'seeds-2' / 'pooled.md').exists()


def test_what_is_done_is_told_in_a_line_and_not_run_again(
  runs, claiming, tmp_path
):
  run(tmp_path, claiming, '--seeds', 0, 1)
  status, out, _ = run(tmp_path, claiming, '--seeds', 0, 1, 2)
  assert (status, runs.seeds) == (0, [0, 1, 2])
  assert [s for s in out.splitlines() if s.startswith('paper/claim seed 0')][
    0
  ].startswith('paper/claim seed 0 done on 2')
  folder = tmp_path / 'out' / 'seeds-0-1-2'
  pooled = json.loads((folder / 'pooled.json').read_text())
  assert pooled['seeds'] == [0, 1, 2]


@pytest.mark.parametrize('lost', ['results.json', 'answers', 'nothing'])
def test_what_is_no_longer_there_is_run_again(runs, claiming, tmp_path, lost):
  run(tmp_path, claiming, '--seeds', 0)
  if lost == 'results.json':
    (tmp_path / 'out' / 'seed-0' / 'results.json').unlink()
  if lost == 'answers':
    next((tmp_path / 's').glob('ppo-*/answers-*.jsonl')).unlink()
  run(tmp_path, claiming, '--seeds', 0)
  assert runs.seeds == ([0] if lost == 'nothing' else [0, 0])


@pytest.mark.parametrize('damage', [b'', b'{"out": ', b'\xff\n', b'null\n'])
def test_a_line_after_a_damaged_ledger_counts(runs, claiming, tmp_path, damage):
  run(tmp_path, claiming, '--seeds', 0)
  ledger = tmp_path / 'out' / 'ledger.jsonl'
  ledger.write_bytes(ledger.read_bytes() + damage)
  for _ in range(2):
    run(tmp_path, claiming, '--seeds', 0, 1)
  assert runs.seeds == [0, 1]


def test_other_settings_are_another_run(runs, claiming, tmp_path):
  for assignment in ('kl_coef=0.05', 'kl_coef=0.1', 'kl_coef=0.05'):
    run(tmp_path, claiming, '--seeds', 0, '--set', assignment)
  # The third time too: the second's results lie where the first's did.
  assert runs.seeds == [0, 0, 0]


def test_another_contrast_runs_nothing(runs, claiming, tmp_path):
  run(tmp_path, claiming, '--seeds', 0, 1)
  claiming.write_text(CLAIMING.replace('PPO beats SFT', 'so there'))
  _, out, _ = run(tmp_path, claiming, '--seeds', 0, 1)
  assert runs.seeds == [0, 1]
  assert 'so there' in out


@pytest.mark.parametrize(
  'error', [experiments.ExperimentError('a sentence'), RuntimeError('x')]
)
def test_a_seed_that_fails_does_not_stop_the_others(
  runs, claiming, tmp_path, error
):
  runs.failing = {1: error}
  status, out, err = run(tmp_path, claiming, '--seeds', 0, 1, 2)
  assert (status, runs.seeds) == (1, [0, 1, 2])
  bug = isinstance(error, RuntimeError)
  said = 'unexpected RuntimeError: x, in ' if bug else 'a sentence\n'
  assert f'error: paper/claim seed 1: {said}' in err
  assert err.count('\n') == 1
  reports = list((tmp_path / 'out' / 'seed-1').glob('error-*.txt'))
  assert len(reports) == bug
  assert 'paper/claim seed 1 failed and is left out' in out
  pooled = json.loads(
    (tmp_path / 'out' / 'seeds-0-1-2' / 'pooled.json').read_text()
  )
  assert pooled['seeds'] == [0, 2]
  assert len(lines(tmp_path / 'out' / 'ledger.jsonl')) == 2


def test_ctrl_c_stops(runs, claiming, tmp_path):
  runs.failing = {1: KeyboardInterrupt()}
  status, _, err = run(tmp_path, claiming, '--seeds', 0, 1, 2)
  assert (status, runs.seeds) == (130, [0, 1])
  assert err.startswith('stopped; ') and err.count('\n') == 1
  assert len(lines(tmp_path / 'out' / 'ledger.jsonl')) == 1


def test_several_files_have_folders_of_their_own(runs, claiming, tmp_path):
  status, _, _ = run(tmp_path, claiming, SANDBOX, '--seeds', 0)
  assert status == 0
  for name in ('paper/claim', 'rlhf/sandbox'):
    pooled = tmp_path / 'out' / name / 'seeds-0' / 'pooled.json'
    assert pooled.exists()
    assert (tmp_path / 'out' / name / 'seed-0' / 'results.json').exists()
  assert len(lines(tmp_path / 'out' / 'ledger.jsonl')) == 2


def test_a_file_without_a_seed_is_refused_before_any_run(
  runs, claiming, tmp_path
):
  other = tmp_path / 'paper' / 'seedless.py'
  other.write_text(
    'import dataclasses\n@dataclasses.dataclass(frozen=True)\n'
    'class Settings:\n  steps: int = 1\n'
  )
  status, _, err = run(tmp_path, claiming, other)
  assert (status, runs.seeds) == (1, [])
  assert err.count('\n') == 1 and 'no field "seed"' in err


@pytest.mark.parametrize(
  'arguments, said',
  [
    (('--jobs', 0), '--jobs must be 1 or more, got 0'),
    (('--jobs', -2), '--jobs must be 1 or more, got -2'),
    (('--seeds', 0, -1), '--seeds must be from 0 to 4294967295, got -1'),
    (
      ('--seeds', 2**32),
      '--seeds must be from 0 to 4294967295, got 4294967296',
    ),
  ],
)
def test_numbers_that_cannot_be_are_told_before_any_run(
  runs, claiming, tmp_path, arguments, said
):
  status, _, err = run(tmp_path, claiming, *arguments)
  assert (status, err, runs.seeds) == (1, f'error: {said}\n', [])


def test_a_seed_given_twice_is_run_once(runs, claiming, tmp_path):
  status, _, _ = run(tmp_path, claiming, '--seeds', 1, 0, 1)
  assert (status, runs.seeds) == (0, [1, 0])


PROGRAM = """
import pathlib, sys, time
print('sft 1/2', flush=True)
if {seed} == 1:
  sys.exit('error: it broke')
time.sleep({sleep})
"""


def processes(tmp_path, monkeypatch, sleep):
  """Tasks whose processes run a few lines in place of an experiment."""

  def start(task, options):
    task.out.mkdir(parents=True, exist_ok=True)
    program = PROGRAM.format(seed=task.seed, sleep=sleep)
    with task.log.open('a') as log:
      return subprocess.Popen(
        [sys.executable, '-c', program],
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
      )

  monkeypatch.setattr(tasks, 'start', start)
  return [
    tasks.Task('a/b.py', seed, None, '', tmp_path / f'seed-{seed}')
    for seed in range(3)
  ]


@dataclasses.dataclass
class Options:
  jobs: int


def test_side_by_side(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(tasks, 'SHOW_SECONDS', 0.3)
  waiting = processes(tmp_path, monkeypatch, sleep=1.0)
  finished = list(tasks.side_by_side(waiting, Options(jobs=2)))
  wrong = {task.seed: wrong for task, _, wrong in finished}
  assert wrong == {0: None, 1: 'it broke', 2: None}
  assert 'a/b seed 0: sft 1/2' in capsys.readouterr().out


def test_processes_end_with_whoever_waits_for_them(tmp_path, monkeypatch):
  started = []
  waiting = processes(tmp_path, monkeypatch, sleep=60)
  start = tasks.start
  monkeypatch.setattr(
    tasks, 'start', lambda *a: started.append(start(*a)) or started[-1]
  )
  finished = tasks.side_by_side(waiting, Options(jobs=3))
  assert next(finished)[0].seed == 1
  began = time.monotonic()
  finished.close()
  assert time.monotonic() - began < 15
  codes = [process.poll() for process in started]
  assert codes[0] == codes[2] == -signal.SIGINT


def test_a_process_that_was_killed_is_told_from_one_that_gave_up(tmp_path):
  task = tasks.Task('a/b.py', 0, None, '', tmp_path)
  task.log.write_text('sft 1/2\n\n')
  assert tasks.trouble(task, -9) == 'status -9; the last it said: sft 1/2'
  task.log.write_text('')
  assert tasks.trouble(task, 1) == 'no word yet'


def test_a_process_is_told_all_that_was_set(tmp_path, monkeypatch):
  called = {}

  def remember(command, **options):
    called.update(options, command=command)

  monkeypatch.setattr(subprocess, 'Popen', remember)
  task = tasks.Task('a/b.py', 4, None, '', tmp_path / 'seed-4')
  options = seeds.parse(
    ['a/b.py', '--set', 'kl_coef=0.1', '--stages', 'S', '--traceback']
  )
  tasks.start(task, options)
  read = train.parse(called['command'][3:])
  assert (read.file, read.out) == ('a/b.py', tmp_path / 'seed-4')
  assert read.set == ['kl_coef=0.1', 'seed=4']
  assert (str(read.stages), read.traceback) == ('S', True)
