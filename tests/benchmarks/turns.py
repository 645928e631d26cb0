"""Sides of a comparison: processes that are let go for some steps by turns."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from launch import memory
from tests.benchmarks.sides import work

HERE = pathlib.Path(__file__).parent
PEAK_FLOPS = 2 * 2048**3  # Of a step of `sides/product.py`.
PEAK = 'product'
SCRIPTS = {
  PEAK: 'product.py',
  'ours': 'ours.py',
  'trl': 'of_trl.py',
  'tunix': 'of_tunix.py',
}
ONE_THREAD = {
  'OMP_NUM_THREADS': '1',
  'MKL_NUM_THREADS': '1',
  'OPENBLAS_NUM_THREADS': '1',
  'JAX_PLATFORMS': 'cpu',
  'JAX_ENABLE_COMPILATION_CACHE': 'false',
  'XLA_FLAGS': '--xla_cpu_multi_thread_eigen=false',
  'TOKENIZERS_PARALLELISM': 'false',
  'HF_HUB_OFFLINE': '1',
  'TRANSFORMERS_VERBOSITY': 'error',
}


class Missing(Exception):
  """A side that cannot take part, and why."""


@dataclasses.dataclass
class Times:
  """What a side took.

  Attributes:
    clock: seconds a step, of each round.
    processor: likewise, in processor seconds.
    mib: the most memory of the process.
  """

  clock: list[float] = dataclasses.field(default_factory=list)
  processor: list[float] = dataclasses.field(default_factory=list)
  mib: float = 0.0


class Side:
  """A contestant: a process that waits at its gate."""

  def __init__(
    self, name: str, job: work.Job, logs: pathlib.Path, prefix: Sequence[str]
  ):
    word, *settings = name.split(',')
    kind = word.rstrip('!')
    python = python_of(kind, job)
    env = os.environ | ONE_THREAD | {'PYTHONPATH': ''}
    if kind == 'ours':
      env['PYTHONPATH'] = str(HERE.parents[1])
    env |= dict(setting.split('=', 1) for setting in settings)
    if kind == 'ours' or word.endswith('!'):
      # What the environment says of malloc already holds.
      env[memory.TUNABLES] = memory.wanted(env) or env.get(memory.TUNABLES, '')
    command = [*prefix, python, '-W', 'ignore', HERE / 'sides' / SCRIPTS[kind]]
    self.name = name
    self.began = time.perf_counter()
    self._log = logs / f'{name.replace("/", "_")}.log'
    with self._log.open('a') as file:
      self._process = subprocess.Popen(
        [*command, job.as_argument()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=file,
        text=True,
        env=env,
      )
    self._hear()  # Ready.

  def go(self, steps: int) -> Mapping[str, float]:
    """Seconds of so many steps, by the clock and of the processor."""
    self._ask(steps)
    said = self._hear()
    self._hear()  # Ready again.
    return said

  def leave(self) -> float:
    """Ends the process. Returns its most memory, in MiB."""
    self._ask(0)
    peak = self._hear()['peak_mib']
    self._process.wait()
    return peak

  def end(self) -> None:
    """Ends a process that may still run."""
    self._process.kill()
    self._process.wait()

  def _ask(self, steps):
    self._process.stdin.write(f'{steps}\n')
    self._process.stdin.flush()

  def _hear(self):
    line = self._process.stdout.readline()
    if not line:
      self.end()
      last = self._log.read_text().strip().splitlines()[-1:]
      raise Missing(f'it ended early: {"".join(last)}')
    return json.loads(line)


def python_of(kind: str, job: work.Job) -> str:
  """The Python that a side runs in.

  Raises:
    Missing: there is none, or it has no such work.
  """
  if kind in ('ours', PEAK):
    return sys.executable
  needed = [f'BENCH_{kind.upper()}_PYTHON']
  needed += ['BENCH_TRL_PPO'] if (kind, job.kind) == ('trl', 'ppo') else []
  for name in needed:
    if name not in os.environ:
      raise Missing(f'{name} is not set')
  if (kind, job.kind) == ('tunix', 'reward'):
    raise Missing('it has no trainer of reward models')
  return os.environ[needed[0]]


def warmed(job, names, options, logs) -> list[Side]:
  """The sides that can take part, each started and warmed up by itself."""
  sides = []
  for name in names:
    try:
      side = Side(name, job, logs, options.prefix.split())
      sides.append(side)
      side.go(1)
      if options.warm:
        side.go(options.warm)
    except Missing as e:
      print(f'{name}: left out, {e}', flush=True)
      sides = [other for other in sides if other.name != name]
  return sides


def by_turns(job, options, logs) -> dict[str, Times]:
  """Times of each side, which take turns, and memory."""
  sides = warmed(job, [PEAK, *options.sides], options, logs)
  times = {side.name: Times() for side in sides}
  try:
    for _ in range(options.rounds):
      for side in sides:
        said = side.go(10 if side.name == PEAK else options.steps)
        times[side.name].clock.append(said['seconds'])
        times[side.name].processor.append(said['processor'])
    for side in sides:
      times[side.name].mib = side.leave()
  finally:
    for side in sides:
      side.end()
  return times


def from_cold(job, options, logs) -> dict[str, Times]:
  """Times of each side from the start of its process to its first step."""
  times: dict[str, Times] = {}
  absent = set()
  for _ in range(options.rounds):
    for name in options.sides:
      if name in absent:
        continue
      try:
        side = Side(name, job, logs, options.prefix.split())
        said = side.go(1)
        spent = time.perf_counter() - side.began
        mib = side.leave()
      except Missing as e:
        print(f'{name}: left out, {e}', flush=True)
        absent.add(name)
        continue
      own = times.setdefault(name, Times())
      own.clock.append(spent)
      own.processor.append(said['processor'])
      own.mib = mib
  return times
