"""Runs in processes of their own, to be killed and started again."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from rlhf_jax.storage import seals
from rlhf_jax.training.metrics import read_jsonl
from tests import compilation

ROOT = pathlib.Path(__file__).parents[2]


def start(folder, file, settings=()):
  """Starts an experiment's file, with everything it writes in `folder`."""
  command = [
    sys.executable,
    '-m',
    'launch.train',
    file,
    '--out',
    folder / 'out',
    '--stages',
    folder / 'stages',
  ]
  for assignment in settings:
    command += ['--set', assignment]
  environment = os.environ | {
    'JAX_PLATFORMS': 'cpu',
    'XLA_FLAGS': compilation.FLAGS,
    'JAX_ENABLE_COMPILATION_CACHE': 'true',  # On one device it may be read.
    'JAX_COMPILATION_CACHE_DIR': str(folder.parent / 'compiled'),
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
  }
  log = (folder / 'log.txt').open('a')
  return subprocess.Popen(
    list(map(str, command)),
    cwd=ROOT,
    env=environment,
    stdout=log,
    stderr=subprocess.STDOUT,
  )


def kill_in_the_middle(process, folder, stage, step):
  """Kills a run (kill -9) once `stage` has logged `step` and saved a state."""
  deadline = time.time() + 300
  while time.time() < deadline:
    for path in (folder / 'stages').glob(f'{stage}-*/metrics.jsonl'):
      rows = read_jsonl(path)
      # One without its seal was never there.
      saved = list((path.parent / 'checkpoints').glob(f'[0-9]*/{seals.SEAL}'))
      if rows and rows[-1]['step'] >= step and saved:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return
    assert process.poll() is None, (folder / 'log.txt').read_text()
    time.sleep(0.02)
  pytest.fail(f'{stage} did not reach step {step} in time')


def contents(folder, stage):
  """Every file of the parameters that a stage handed on, by name."""
  (path,) = (folder / 'stages').glob(f'{stage}-*')
  assert (path / 'done.json').exists(), f'{stage} is not done'
  return path
