"""The one loop: whatever the method, batches in, parameters out."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TextIO

import jax

from rlhf_jax import progress
from rlhf_jax.training import finite, metrics, stopping
from rlhf_jax.training.checkpoints import Checkpoints
from rlhf_jax.types import Metrics, Params, TrainState, padding


class BatchesByStep(Protocol):
  """Batches by step: a step's batch is the same whenever it is asked for."""

  def starting_at(self, step: int) -> Iterator[Any]:
    """The batches of `step`, `step + 1`, …"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loop:
  """How a stage runs, apart from what it learns.

  Attributes:
    stage: its name, for people.
    steps: how many updates.
    log_every: steps between two rows of metrics.
    checkpoint_every: steps between two checkpoints; the last step has one too.
    sample_every: steps between two logs of samples.
    show: metrics that the console shows.
    console: where progress is printed.
  """

  stage: str
  steps: int
  log_every: int
  checkpoint_every: int
  sample_every: int
  show: Sequence[str]
  console: TextIO


def train(
  state: TrainState,
  frozen: Mapping[str, Params],
  batches: BatchesByStep,
  key: jax.Array,
  *,
  update: Callable[..., tuple[TrainState, Metrics]],
  collect: Callable[..., tuple[Any, Metrics]] | None = None,
  log_samples: Callable[[TrainState, int], None] | None = None,
  saved: Checkpoints,
  writers: Sequence[metrics.MetricsWriter],
  loop: Loop,
) -> TrainState:
  """Trains from `state.step` to the last step, and saves on the way.

  Args:
    state: where to start; donated to the first update.
    frozen: what stays fixed, by role.
    batches: what each step learns from, or the prompts it answers first.
    key: of the stage; each step's is folded from it and the step, and split
      where there is something to collect.
    update: (state, frozen, batch, key) -> state, metrics.
    collect: (state, frozen, prompts, key) -> batch, metrics, if any.
    log_samples: (state, step) -> None; writes samples for people.
    saved, writers: where checkpoints and metrics go.
    loop: how long and how often.

  Raises:
    FloatingPointError: a loss or a parameter that is not finite.
    Stopped: that was asked for. The state is saved, and a run from there ends
      as one that was never stopped.
  """
  start = int(state.step)
  rows = _Rows(loop, writers, saved.pending, start, timed=collect is None)
  steps = zip(
    range(start, loop.steps), batches.starting_at(start), strict=False
  )
  try:
    for step, batch in steps:
      step_key = jax.random.fold_in(key, step)
      collected: Metrics = {}
      stopwatch = metrics.Stopwatch()
      # May be stopped in the middle: it changes nothing, and can take long.
      if collect is not None:
        collect_key, step_key = jax.random.split(step_key)
        with rows.compiling(step):
          batch, collected = collect(state, frozen, batch, collect_key)
      with stopping.held():
        places = padding(batch)
        with rows.compiling(step), stopwatch('update'):
          state, learnt = update(state, frozen, batch, step_key)
          if collect is not None or step == start:
            jax.block_until_ready(learnt)
        if collect is not None:
          collected |= stopwatch.metrics()
        rows.pending.append({**collected, **places, **learnt})
        done = step + 1
        if done == start + 1:
          rows.progress.begin(done)
        saving = done % loop.checkpoint_every == 0 or done == loop.steps
        if saving or done % loop.log_every == 0:
          rows.emit(done)
        sampling = done % loop.sample_every == 0 or done == loop.steps
        if log_samples is not None and sampling:
          log_samples(state, done)
        if saving:
          saved.save(state)
        if saving or sampling:
          rows.restart(done)
      stopping.check()
  except stopping.Stopped as stopped:
    _keep(state, rows.pending, saved, loop.stage, stopped)
    raise
  finally:
    rows.progress.close()
  return state


class _Rows:
  """The metrics of steps on their way to writers and to the console.

  Attributes:
    pending: metrics of the steps since the last row.
    progress: what the console shows.
  """

  def __init__(self, loop, writers, pending, start, *, timed):
    """`timed`: rows measure updates, where no step waits for the device."""
    self.pending, self._start, self._timed = list(pending), start, timed
    self.progress = progress.Progress(
      loop.stage, loop.steps, start=start, out=loop.console
    )
    self._loop, self._writers = loop, writers
    self.restart(start)

  def compiling(self, step):
    """Shows 'compiling' during the first step, which takes longer."""
    if step > self._start:
      return contextlib.nullcontext()
    return self.progress.waiting('compiling')

  def restart(self, done):
    """Counts the time of steps from here."""
    self._since, self._began = done, time.perf_counter()

  def emit(self, done):
    """Makes a row of what is pending, and hands it on."""
    row, self.pending = metrics.summarise(self.pending), []
    if self._timed:
      spent = time.perf_counter() - self._began
      row['seconds/update'] = spent / max(done - self._since, 1)
      self.restart(done)
    finite.check_losses(row, self._loop.stage, done)
    row = metrics.plain(row)
    for writer in self._writers:
      writer.write(self._loop.stage, done, row)
    shown = {n: row[n] for n in self._loop.show if n in row}
    terms = {n: x for n, x in row.items() if n.startswith(metrics.LOSS)}
    # A term that a metric shows under a better name is not shown twice.
    loss = {n: x for n, x in terms.items() if x and x not in shown.values()}
    self.progress.show(done, shown | loss)


def _keep(state, pending, saved, stage, stopped):
  """Saves the state of a stopped run, and notes it in `stopped`."""
  with stopping.held():
    total = [metrics.added(pending)] if pending else []
    saved.save(state, total)
    saved.wait()
    stopped.kept = f'{stage} is saved at step {int(state.step)}'
