"""Joining processes: what is refused, who is missing, and how they end."""

import argparse
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from launch import errors, joining, local

ROOT = pathlib.Path(__file__).parents[2]


def options(tmp_path, processes=None, seconds=1):
  return argparse.Namespace(
    processes=processes, join_seconds=seconds, stages=tmp_path
  )


@pytest.fixture(autouse=True)
def alone(monkeypatch):
  for variable in (joining.ADDRESS, joining.COUNT, joining.NUMBER):
    monkeypatch.delenv(variable, raising=False)


def test_without_a_word_of_others_it_is_one_process(tmp_path):
  joining.join(options(tmp_path))
  assert not joining.joined()


def test_an_environment_that_says_half_is_refused(tmp_path, monkeypatch):
  monkeypatch.setenv(joining.ADDRESS, 'a:1')
  with pytest.raises(errors.OptionError, match='JAX_NUM_PROCESSES'):
    joining.join(options(tmp_path))


def test_what_runs_alone_refuses_several(monkeypatch):
  joining.refuse('launch.seeds')
  monkeypatch.setenv(joining.ADDRESS, 'a:1')
  with pytest.raises(errors.OptionError, match=r'launch\.seeds runs in one'):
    joining.refuse('launch.seeds')


def test_one_that_is_missing_ends_the_others_with_a_sentence(tmp_path):
  environment = os.environ | {
    'JAX_PLATFORMS': 'cpu',
    joining.ADDRESS: f'localhost:{local.free_port()}',
    joining.COUNT: '2',
    joining.NUMBER: '0',
  }
  command = [sys.executable, '-m', 'launch.train']
  command += ['experiments/rlhf/sandbox.py', '--join-seconds', '3']
  command += ['--stages', str(tmp_path / 'stages')]
  ran = subprocess.run(
    command, cwd=ROOT, env=environment, capture_output=True, text=True
  )
  assert ran.returncode == 1
  assert '1 of 2 processes are here after 3 s' in ran.stderr
  assert len(ran.stderr.splitlines()) == 1


def processes(*programs):
  return [
    subprocess.Popen([sys.executable, '-c', program]) for program in programs
  ]


def test_the_status_is_that_of_the_first_that_failed():
  failing = processes('', 'import time; time.sleep(1); raise SystemExit(75)')
  assert local.ended(failing) == 75
  assert local.ended(processes('', '')) == 0


def test_one_that_is_killed_is_named(capsys, monkeypatch):
  monkeypatch.setattr(local, 'GRACE_SECONDS', 0.5)
  started = processes(*['import time; time.sleep(60)'] * 2)
  started[1].send_signal(signal.SIGKILL)
  assert local.ended(started) == 137
  assert 'process 1 of 2 was ended by SIGKILL' in capsys.readouterr().err
  assert started[0].returncode == -signal.SIGKILL
