"""Joining the processes of one run, by JAX's own runtime.

A run has several processes where it is started with `--processes auto`, which
asks the cluster (Cloud TPU, GKE, Slurm), or where the environment names the
first one: JAX_COORDINATOR_ADDRESS (host:port), JAX_NUM_PROCESSES and
JAX_PROCESS_ID.
"""

import argparse
import os

from launch import errors, hosts
from launch.clusters import environment

ADDRESS, COUNT, NUMBER = environment.GIVEN
# Seconds that processes wait for each other, by default, when a run begins.
DEADLINE = 300
HEARTBEAT = 40  # Without a heartbeat for so many seconds a process is dead.
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

  Before anything else of jax.

  Raises:
    OptionError: the environment does not say which process this is.
    MeetingError: not all came, or they cannot run together.
  """
  global _joined
  if options.processes is None and ADDRESS not in os.environ:
    return
  errors.check_whole('--join-seconds', options.join_seconds, 1)
  options.stages.mkdir(parents=True, exist_ok=True)
  place = hosts.check(options.stages, options.join_seconds)
  import jax

  jax.distributed.initialize(
    place.coordinator,
    place.processes,
    place.process,
    initialization_timeout=options.join_seconds,
    heartbeat_timeout_seconds=HEARTBEAT,
  )
  _joined = place.processes > 1


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
