"""Joining the processes of one run, by JAX's own runtime.

A run has several processes where it is started with `--processes auto`, which
asks the cluster (Cloud TPU, SLURM, MPI, Kubernetes), or where the environment
names the first one: JAX_COORDINATOR_ADDRESS (host:port), JAX_NUM_PROCESSES and
JAX_PROCESS_ID.
"""

import argparse
import contextlib
import os
import pathlib
import socket
import sys
import threading
import time
from collections.abc import Iterator

from launch import errors

ADDRESS = 'JAX_COORDINATOR_ADDRESS'
COUNT = 'JAX_NUM_PROCESSES'
NUMBER = 'JAX_PROCESS_ID'
FOLDER = '.joining'  # In the folder of stages, which all hosts share.
# Seconds that processes wait for each other, by default, when a run begins.
DEADLINE = 300
LOOK = 1.0  # Between two signs of life.
STALE = 20.0  # After which nobody waits where a sign of life is.
HEARTBEAT = 40  # Without a heartbeat for so long a process is dead.
# EX_TEMPFAIL: nothing is wrong, and the same command goes on from what was
# saved. Launchers start it again.
AGAIN = 75


_joined = False


def joined() -> bool:
  """Whether this process is one of several."""
  return _joined


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """What a command takes that runs in several processes."""
  parser.add_argument(
    '--processes',
    choices=('auto',),
    help='run with those that the cluster started beside this one; without, '
    f'where {ADDRESS} is set, with {COUNT} of them, of which this is '
    f'{NUMBER}; else alone',
  )
  parser.add_argument(
    '--join-seconds',
    type=int,
    default=DEADLINE,
    help='how long processes wait for each other when they begin (default: '
    '%(default)s)',
  )


def join(options: argparse.Namespace) -> None:
  """Waits for the other processes of a run, if there are any.

  Before anything else of jax. Where not all come, the process ends with AGAIN.

  Raises:
    OptionError: the environment does not say which process this is.
  """
  if options.processes is None and ADDRESS not in os.environ:
    return
  errors.check_whole('--join-seconds', options.join_seconds, 1)
  count, number = _whole(COUNT), _whole(NUMBER)
  if options.processes is None and None in (count, number):
    raise errors.OptionError(
      f'{ADDRESS} is set, and {COUNT} or {NUMBER} is not; set all three, or '
      'none and --processes auto'
    )
  import jax

  global _joined
  roll = options.stages / FOLDER
  with _given_up(roll, count, options.join_seconds):
    try:
      jax.distributed.initialize(
        num_processes=count,
        process_id=number,
        # It would end the process without a word that people can read.
        initialization_timeout=options.join_seconds + 60,
        heartbeat_timeout_seconds=HEARTBEAT,
      )
    except ValueError as e:
      raise errors.OptionError(
        f'no cluster says which processes belong together ({e}); set '
        f'{ADDRESS}, {COUNT} and {NUMBER}, or leave --processes out'
      ) from e
  _joined = jax.process_count() > 1


def refuse(command: str) -> None:
  """Refuses to run a command in several processes that runs in one.

  Raises:
    OptionError: the environment names several.
  """
  if ADDRESS in os.environ:
    raise errors.OptionError(
      f'{command} runs in one process, and {ADDRESS} is set; unset it, or run '
      'python -m launch.train, which runs in several'
    )


def _whole(variable: str) -> int | None:
  text = os.environ.get(variable)
  if text is None:
    return None
  if not text.isdigit():
    raise errors.OptionError(f'{variable} is {text!r}, and no whole number')
  return int(text)


@contextlib.contextmanager
def _given_up(roll: pathlib.Path, count: int | None, seconds: int) -> Iterator:
  """Ends the process if the block takes longer; says who is here.

  Every process leaves a sign of life in `roll` meanwhile.
  """
  over = threading.Event()
  own = roll / f'{socket.gethostname()}-{os.getpid()}'
  with contextlib.suppress(OSError):  # Only the sentence is the poorer for it.
    roll.mkdir(parents=True, exist_ok=True)

  def watch():
    deadline = time.monotonic() + seconds
    while not over.wait(LOOK):
      with contextlib.suppress(OSError):
        own.touch()
      if time.monotonic() > deadline:
        print(f'error: {missing(own, count, seconds)}', file=sys.stderr)
        sys.stderr.flush()
        _forget(own)
        os._exit(AGAIN)

  thread = threading.Thread(target=watch, daemon=True)
  thread.start()
  try:
    yield
  finally:
    over.set()
    thread.join()
    _forget(own)


def missing(own: pathlib.Path, count: int | None, seconds: int) -> str:
  """The sentence of a process that waited for others in vain.

  Args:
    own: its own sign of life, beside which those of the others are.
    count: how many processes the run has, where that is known.
    seconds: that it waited.
  """
  here = []
  with contextlib.suppress(OSError):
    now = own.stat().st_mtime  # By the clock of the disk that all share.
    for path in sorted(own.parent.iterdir()):
      if now - path.stat().st_mtime < STALE:
        here.append(path.name.rpartition('-')[0])
  found = f'{len(here)} of {count}' if count else f'only {len(here)}'
  hosts = ', '.join(dict.fromkeys(here))
  address = os.environ.get(ADDRESS, 'the first one')
  return (
    f'{found} processes are here after {seconds} s (on {hosts}); start the '
    'same command on every host, with the same --stages, and see that '
    f'{address} can be reached from there'
  )


def _forget(path):
  with contextlib.suppress(OSError):
    path.unlink()
