"""A run in several processes is the run in one, and is stopped as one."""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from rlhf_jax.training.metrics import read_jsonl
from tests import compilation

ROOT = pathlib.Path(__file__).parents[2]
FILE = 'tests/experiment/on_processes.py'
RLP = 'tests/experiment/rlp_on_processes.py'
PAIRS = 'tests/experiment/pairs_on_processes.py'
DEVICES = 2  # Of the run's mesh, however many processes have them.
TRAINED = ('sft', 'reward_model', 'ppo', 'dpo')
AGAIN = 75
KILLS = 20


def start(folder, count=1, file=FILE, *, devices=DEVICES, **mesh):
  """Starts a chain in so many processes, each with its log in `folder`.

  They have so many devices together, which the mesh is of.
  """
  folder.mkdir(exist_ok=True)
  with socket.socket() as some:
    some.bind(('localhost', 0))
    port = some.getsockname()[1]
  command = [sys.executable, '-m', 'launch.train', file]
  command += ['--out', folder / 'out', '--stages', folder / 'stages']
  for axis, size in mesh.items():
    command += ['--set', f'mesh.{axis}={size}']
  flag = '--xla_force_host_platform_device_count'
  started = []
  for number in range(count):
    environment = os.environ | {
      'JAX_PLATFORMS': 'cpu',
      'XLA_FLAGS': f'{flag}={devices // count} {compilation.FLAGS}',
    }
    if count > 1:
      environment |= {
        'JAX_COORDINATOR_ADDRESS': f'localhost:{port}',
        'JAX_NUM_PROCESSES': str(count),
        'JAX_PROCESS_ID': str(number),
      }
    with (folder / f'log-{number}.txt').open('a') as log:
      started.append(
        subprocess.Popen(
          list(map(str, command)),
          cwd=ROOT,
          env=environment,
          stdout=log,
          stderr=subprocess.STDOUT,
        )
      )
  return started


def ended(started, folder):
  """The status of each process, once all have ended."""
  try:
    return [process.wait(900) for process in started]
  finally:
    for process in started:
      process.kill()
    print(said(folder))


def said(folder):
  """What all processes said."""
  return '\n'.join(path.read_text() for path in sorted(folder.glob('log-*')))


def rows(folder, stage):
  """The metrics of a stage, by step, but those of time."""
  found = read_jsonl(folder / 'out' / 'stages' / stage / 'metrics.jsonl')
  return [
    {k: x for k, x in row.items() if not k.startswith('seconds')}
    for row in found
  ]


def close(one, other, stage, tolerance=1e-5):
  """Whether a stage's metrics are those of another run."""
  first, second = rows(one, stage), rows(other, stage)
  assert len(first) == len(second) > 0
  for a, b in zip(first, second, strict=True):
    assert a.keys() == b.keys()
    for name in a:
      np.testing.assert_allclose(
        b[name], a[name], rtol=tolerance, atol=tolerance
      )


def until(folder, stage, step):
  """Waits until a stage has written down a step."""
  deadline = time.monotonic() + 600
  while time.monotonic() < deadline:
    for path in (folder / 'stages').glob(f'{stage}-*/metrics.jsonl'):
      if any(row['step'] >= step for row in read_jsonl(path)):
        return
    time.sleep(0.1)
  raise AssertionError(said(folder))


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  """The run in one process."""
  folder = tmp_path_factory.mktemp('alone')
  assert ended(start(folder), folder) == [0]
  return folder


@pytest.fixture(scope='module')
def stopped(tmp_path_factory):
  """The run in two processes, of which the second was told to stop in PPO.

  It goes on in one process.
  """
  folder = tmp_path_factory.mktemp('stopped')
  started = start(folder, 2)
  until(folder, 'ppo', 1)
  started[1].send_signal(signal.SIGTERM)
  assert ended(started, folder) == [AGAIN, AGAIN]
  assert ended(start(folder), folder) == [0]
  return folder


def test_a_stop_of_one_stops_both_at_a_saved_step(stopped):
  text = said(stopped)
  assert text.count('stopped; ppo is saved at step') == 1
  assert text.count('resumed at step') == 1


@pytest.mark.parametrize('stage', TRAINED)
def test_numbers_are_those_of_one_process(alone, stopped, stage):
  close(alone, stopped, stage)


@pytest.mark.parametrize('policy', ['sft', 'ppo', 'dpo'])
def test_answers_are_those_of_one_process(alone, stopped, policy):
  one, other = (
    [
      json.loads(line).get('response')
      for path in (folder / 'out' / 'stages' / policy).glob('answers-*')
      for line in path.read_text().splitlines()
    ]
    for folder in (alone, stopped)
  )
  assert len(one) > 8
  assert one == other


def test_one_process_alone_writes(stopped):
  text = (stopped / 'log-1.txt').read_text()
  assert 'stage 1 of' not in text
  assert len(read_jsonl(stopped / 'out' / 'stages' / 'dpo' / 'metrics.jsonl'))


@pytest.mark.long
@pytest.mark.parametrize(
  ('count', 'mesh'),
  [
    (2, {'data': 1, 'tensor': 2}),  # Across the two of them.
    (4, {'data': 2, 'fsdp': 2}),
  ],
)
def test_more_processes_and_other_axes_are_one_process(tmp_path, count, mesh):
  one, other = tmp_path / 'one', tmp_path / 'other'
  options = {'devices': count} | mesh
  assert ended(start(one, 1, PAIRS, **options), one) == [0]
  assert ended(start(other, count, PAIRS, **options), other) == [0] * count
  for stage in ('sft', 'dpo'):
    close(one, other, stage)


@pytest.mark.long
def test_goes_on_on_another_mesh_in_another_number_of_processes(tmp_path):
  one, moved = tmp_path / 'one', tmp_path / 'moved'
  assert ended(start(one, 1, PAIRS), one) == [0]
  started = start(moved, 2, PAIRS)
  until(moved, 'dpo', 1)
  started[0].send_signal(signal.SIGTERM)
  assert ended(started, moved) == [AGAIN, AGAIN]
  mesh = {'devices': 4, 'data': 1, 'fsdp': 2, 'tensor': 2}
  assert ended(start(moved, 1, PAIRS, **mesh), moved) == [0]
  assert said(moved).count('resumed at step') == 1
  # Sums are in another order there, and Adam enlarges how they are rounded.
  close(one, moved, 'dpo', 1e-3)


@pytest.mark.long
def test_rlp_is_that_of_one_process(tmp_path):
  one, two = tmp_path / 'one', tmp_path / 'two'
  assert ended(start(one, 1, RLP), one) == [0]
  assert ended(start(two, 2, RLP), two) == [0, 0]
  for stage in ('reward_model_uml_unscaled', 'rlp_uml', 'rlp_spg'):
    assert rows(one, stage) == rows(two, stage)


@pytest.mark.long
def test_killed_at_any_moment_it_ends_as_one_that_was_not(tmp_path):
  unbroken, broken = tmp_path / 'unbroken', tmp_path / 'broken'
  assert ended(start(unbroken, 2), unbroken) == [0, 0]
  draw = random.Random(0)
  for _ in range(KILLS):
    started = start(broken, 2)
    time.sleep(draw.uniform(0, 90))
    victim, other = draw.sample(started, 2)
    victim.send_signal(signal.SIGKILL)
    began = time.monotonic()
    status = other.wait(120)
    assert time.monotonic() - began < 60
    # It was done already, it said so, or the runtime ended it.
    assert status in (0, AGAIN, -signal.SIGABRT), said(broken)
  assert ended(start(broken, 2), broken) == [0, 0]
  for stage in TRAINED:
    assert rows(unbroken, stage) == rows(broken, stage)
