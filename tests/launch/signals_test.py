"""Signals: how a command ends, told by the status of real processes."""

import pathlib
import signal
import subprocess
import sys
import time

import pytest

from launch import signals, tasks
from rlhf_jax.training import stopping

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import hashlib, pathlib, sys, time
from launch import signals
from rlhf_jax.training import stopping

def step(seconds):
  print('ready', flush=True)
  began = time.monotonic()
  while time.monotonic() - began < seconds:
    time.sleep(0.02)

def command():
  try:
    with signals.listening():
      if sys.argv[1] == 'held':
        with stopping.held():
          step(float(sys.argv[2]))
          print('finished', flush=True)
        stopping.check()
      elif sys.argv[1] == 'computing':
        print('ready', flush=True)
        hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)
      elif sys.argv[1] == 'unraisable':
        class Odd:
          def __del__(self):
            step(1.0)
        Odd()
        stopping.check()
      else:
        step(60.0)
  except KeyboardInterrupt:
    print('stopped', flush=True)
    return signals.status()
  return 0

signals.leave(command())
"""
NOTHING = 'import time; print("ready", flush=True); time.sleep(60)'
STATUS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


def start(*arguments, ignored=()):
  """A process that listens, once it is ready."""

  handlers = {signal.SIGINT: 'default_int_handler', signal.SIGHUP: 'SIG_DFL'}
  handlers |= dict.fromkeys(ignored, 'SIG_IGN')
  first = 'import signal\n' + ''.join(
    f'signal.signal({number:d}, signal.{handler})\n'
    for number, handler in handlers.items()
  )
  process = subprocess.Popen(
    [sys.executable, '-c', first + PROGRAM, *map(str, arguments)],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == 'ready\n', process.stderr.read()
  return process


@pytest.mark.parametrize('number, status', STATUS)
def test_a_wait_ends_at_once(number, status):
  process = start('wait')
  process.send_signal(number)
  assert process.communicate(timeout=2) == ('stopped\n', '')
  assert process.returncode == status


@pytest.mark.parametrize('number, status', STATUS)
def test_what_is_held_is_finished_first(number, status):
  process = start('held', 1.0)
  process.send_signal(number)
  assert process.communicate(timeout=20) == ('finished\nstopped\n', '')
  assert process.returncode == status


@pytest.mark.parametrize('what', [('held', 60.0), ('computing',)])
def test_a_second_one_ends_what_the_first_waits_for(what):
  process = start(*what)
  time.sleep(0.5)  # It computes by then.
  process.send_signal(signal.SIGTERM)
  time.sleep(1.0)
  process.send_signal(signal.SIGINT)
  assert process.communicate(timeout=2) == ('', '')
  assert process.returncode == 143  # By the first.


def test_one_that_comes_twice_at_once_is_one():
  process = start('held', 1.0)
  process.send_signal(signal.SIGTERM)
  time.sleep(0.1)
  process.send_signal(signal.SIGTERM)
  assert process.communicate(timeout=20)[0] == 'finished\nstopped\n'


def test_one_that_is_ignored_stays_so():
  process = start('held', 1.0, ignored=[signal.SIGHUP])
  process.send_signal(signal.SIGHUP)
  assert process.communicate(timeout=20) == ('finished\n', '')
  assert process.returncode == 0


def test_one_that_comes_where_nothing_can_be_raised_is_obeyed_after():
  process = start('unraisable')
  process.send_signal(signal.SIGINT)
  assert process.communicate(timeout=20) == ('stopped\n', '')
  assert process.returncode == 130


@pytest.mark.parametrize('number, status', STATUS)
def test_a_line_says_what_was_kept(number, status, capsys):
  def run():
    try:
      signal.raise_signal(number)
    except stopping.Stopped as stopped:
      stopped.kept = 'sft is saved at step 3'
      raise

  before = signal.getsignal(number)
  assert signals.obeyed(run) == status
  said = 'sft is saved at step 3, and the same command goes on from there'
  assert capsys.readouterr() == ('', f'stopped; {said}\n')
  assert signal.getsignal(number) == before


@pytest.mark.parametrize('number, status', STATUS)
def test_what_stops_many_seeds_stops_each_of_them(number, status):
  child = subprocess.Popen(
    [sys.executable, '-c', NOTHING], stdout=subprocess.PIPE, text=True
  )
  child.stdout.readline()

  def run():
    try:
      signal.raise_signal(number)
    finally:
      tasks.stop([child])

  assert signals.obeyed(run) == status
  assert child.returncode == -number
