"""Experiments waiting to be run: one after another here, or side by side."""

import os
import pathlib
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from launch import console, errors, reporting, signals, train

LOOK_SECONDS = 0.2  # Between two looks at who has finished.
SHOW_SECONDS = 30.0  # Between two reports of how far everyone is.
STOP_SECONDS = 20.0  # That a process has to stop by itself.


class Task(NamedTuple):
  """One seed of one experiment.

  Attributes:
    file: the experiment's.
    seed: its seed.
    experiment: the Experiment.
    digest: changes when anything that the results depend on does.
    out: folder of the results.
  """

  file: str
  seed: int
  experiment: Any
  digest: str
  out: pathlib.Path

  @property
  def name(self) -> str:
    return f'{train.short_name(self.file)} seed {self.seed}'

  @property
  def log(self) -> pathlib.Path:
    return self.out / 'log.txt'


# A task that is over, the seconds it took, and what went wrong, if anything.
Finished = tuple[Task, float, str | None]


def one_by_one(tasks: Sequence[Task], options: Any) -> Iterator[Finished]:
  """Runs tasks in this process; one that fails does not stop the others."""
  from rlhf_jax import experiment as experiments

  for task in tasks:
    print(f'{task.name} begins', flush=True)
    began, wrong = time.monotonic(), None
    try:
      experiments.run(
        task.experiment,
        task.out,
        stages_dir=options.stages,
        made=train.asked(task.file, [*options.set, f'seed={task.seed}']),
      )
    except Exception as e:
      if isinstance(e, BrokenPipeError) and console.reader_is_gone():
        raise
      if options.traceback:
        traceback.print_exc()
      wrong = errors.sentence(e) or reporting.unexpected(e, options, task.out)
    yield task, time.monotonic() - began, wrong


def side_by_side(tasks: Sequence[Task], options: Any) -> Iterator[Finished]:
  """Runs tasks in processes, `options.jobs` at a time.

  They are stopped when the iterator is closed.
  """
  waiting, active, shown = list(tasks), {}, time.monotonic()
  try:
    while waiting or active:
      while waiting and len(active) < options.jobs:
        task = waiting.pop(0)
        print(f'{task.name} begins; its log is {task.log}', flush=True)
        active[start(task, options)] = task, time.monotonic()
      time.sleep(LOOK_SECONDS)
      for process in [p for p in active if p.poll() is not None]:
        task, began = active.pop(process)
        yield task, time.monotonic() - began, trouble(task, process.returncode)
      if time.monotonic() - shown > SHOW_SECONDS:
        shown = time.monotonic()
        for task, _ in active.values():
          print(f'{task.name}: {last_line(task.log)}', flush=True)
  finally:
    stop(active)


def start(task: Task, options: Any) -> subprocess.Popen:
  """Starts a task in a process of its own."""
  command = [sys.executable, '-m', 'launch.train', task.file]
  command += ['--out', task.out, '--stages', options.stages]
  for assignment in (*options.set, f'seed={task.seed}'):
    command += ['--set', assignment]
  command += ['--traceback'] * options.traceback
  task.out.mkdir(parents=True, exist_ok=True)
  with task.log.open('a') as log:
    return subprocess.Popen(
      list(map(str, command)),
      stdout=log,
      stderr=subprocess.STDOUT,
      # Those that share a GPU must not each take most of it at once.
      env={'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'} | os.environ,
      start_new_session=True,  # Ctrl-C reaches them once, by `stop`.
    )


def stop(processes: Sequence[subprocess.Popen]) -> None:
  """Stops processes by the signal that stops us, or else as Ctrl-C does.

  Those that do not listen are killed; at once if a second signal comes.
  """

  def kill():
    for process in processes:
      process.kill()

  deadline = time.monotonic() + STOP_SECONDS
  with signals.at_once(kill):
    for process in processes:
      process.send_signal(signals.received())
    for process in processes:
      try:
        process.wait(max(deadline - time.monotonic(), 0.0))
      except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def trouble(task: Task, status: int) -> str | None:
  """What went wrong with a task whose process ended; None if nothing did."""
  if status == 0:
    return None
  said = last_line(task.log).removeprefix('error: ')
  return said if status == 1 else f'status {status}; the last it said: {said}'


def last_line(log: pathlib.Path) -> str:
  """The last line of a log: the stage, its step and the time left."""
  lines = log.read_text(errors='replace').splitlines()
  return next((s.strip() for s in reversed(lines) if s.strip()), 'no word yet')
