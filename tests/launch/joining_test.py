"""Joining processes: what is refused, who is missing, and how they end."""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import time

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


@pytest.mark.parametrize(
  ('given', 'said'),
  [
    ({joining.ADDRESS: 'a:1'}, 'JAX_NUM_PROCESSES or JAX_PROCESS_ID is not'),
    (
      {joining.ADDRESS: 'a:1', joining.COUNT: 'two', joining.NUMBER: '0'},
      "JAX_NUM_PROCESSES is 'two', and no whole number",
    ),
  ],
)
def test_an_environment_that_says_half_is_refused(
  tmp_path, monkeypatch, given, said
):
  for variable, value in given.items():
    monkeypatch.setenv(variable, value)
  with pytest.raises(errors.OptionError, match=said):
    joining.join(options(tmp_path))


def test_what_runs_alone_refuses_several(monkeypatch):
  joining.refuse('launch.seeds')
  monkeypatch.setenv(joining.ADDRESS, 'a:1')
  with pytest.raises(errors.OptionError, match=r'launch\.seeds runs in one'):
    joining.refuse('launch.seeds')


def test_who_is_here_is_told(tmp_path, monkeypatch):
  own = tmp_path / 'here-1'
  for name, age in (('here-1', 0), ('there-7', 3), ('gone-9', 3600)):
    (tmp_path / name).touch()
    then = time.time() - age
    os.utime(tmp_path / name, (then, then))
  monkeypatch.setenv(joining.ADDRESS, 'first:1234')
  said = joining.missing(own, 4, 60)
  assert said.startswith(
    '2 of 4 processes are here after 60 s (on here, there)'
  )
  assert 'first:1234 can be reached' in said


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
  assert ran.returncode == joining.AGAIN
  assert '1 of 2 processes are here after 3 s' in ran.stderr
  assert 'Traceback' not in ran.stderr
  assert not list((tmp_path / 'stages' / joining.FOLDER).iterdir())


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
