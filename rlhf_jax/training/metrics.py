"""Where a run's numbers go: metrics.jsonl, and TensorBoard or W&B if asked."""

import collections
import contextlib
import json
import math
import pathlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import jax

from rlhf_jax.storage import files
from rlhf_jax.types import Mean, Metrics

LOSS = 'loss/'  # What the names of terms of the loss begin with.


class MetricsWriter(Protocol):
  """Takes one row of numbers a step; one that is not finite is NaN."""

  def write(self, stage: str, step: int, row: Mapping[str, float]) -> None: ...

  def close(self) -> None: ...


class JsonlWriter:
  """One JSON object a line, in a file that a resumed run continues."""

  def __init__(self, path: pathlib.Path, *, start: int = 0):
    """Opens `path`, less the rows after step `start`, to be made again."""
    rows = read_jsonl(path) if path.exists() else []
    files.write_lines(path, [row for row in rows if row['step'] <= start])
    self._path, self._file = path, path.open('a')

  def write(self, stage: str, step: int, row: Mapping[str, float]) -> None:
    del stage  # The file lies in the stage's folder.
    # JSON has no word for what is not finite.
    numbers = {k: v if math.isfinite(v) else None for k, v in row.items()}
    with files.naming(self._path):
      self._file.write(json.dumps({'step': step} | numbers) + '\n')
      self._file.flush()

  def close(self) -> None:
    with files.naming(self._path):
      self._file.close()


class TensorBoardWriter:
  """TensorBoard event files, one run a stage. Needs `tensorboardX`."""

  def __init__(self, folder: pathlib.Path):
    try:
      import tensorboardX
    except ImportError as e:
      raise ValueError(
        'TensorBoard files need the package tensorboardX: '
        'pip install tensorboardX'
      ) from e
    self._folder, self._make = folder, tensorboardX.SummaryWriter
    self._writers = {}

  def write(self, stage: str, step: int, row: Mapping[str, float]) -> None:
    if stage not in self._writers:
      self._writers[stage] = self._make(str(self._folder / stage))
    for name, value in row.items():
      self._writers[stage].add_scalar(name, value, step)

  def close(self) -> None:
    for writer in self._writers.values():
      writer.close()


class WandbWriter:
  """Weights & Biases, every stage's numbers under its name. Needs `wandb`."""

  def __init__(self, project: str, config: Mapping[str, object]):
    try:
      import wandb
    except ImportError as e:
      raise ValueError(
        'Weights & Biases needs the package wandb: pip install wandb'
      ) from e
    self._run = wandb.init(project=project, config=dict(config))

  def write(self, stage: str, step: int, row: Mapping[str, float]) -> None:
    named = {f'{stage}/{name}': value for name, value in row.items()}
    self._run.log(named | {f'{stage}/step': step})

  def close(self) -> None:
    self._run.finish()


def read_jsonl(path: pathlib.Path) -> list[dict]:
  """The rows of a metrics file, up to one that is damaged."""
  return list(stream_jsonl(path, ('step',)))


def stream_jsonl(path: pathlib.Path, fields: Sequence[str]) -> Iterator[dict]:
  """The rows of a file of JSON lines, up to one that is damaged.

  As is a last line that a kill cut off, or one without one of the `fields`.
  """
  with files.naming(path), path.open('rb') as lines:
    for line in lines:
      try:
        row = json.loads(line)
      except ValueError:
        return
      if not isinstance(row, dict) or any(row.get(f) is None for f in fields):
        return
      yield row


def summarise(metrics: Sequence[Metrics]) -> dict[str, float]:
  """Python numbers of several steps' metrics: means over all they counted.

  A mean of nothing is NaN, but a term of the loss is 0 then: it adds nothing.
  """
  return {
    name: float(mean.value)
    if mean.weight or name.startswith(LOSS)
    else math.nan
    for name, mean in added(metrics).items()
  }


def plain(row: Mapping[str, float | None]) -> dict[str, float]:
  """A row as writers take it: NaN for None and for what is not finite."""
  return {
    name: math.nan if value is None or not math.isfinite(value) else value
    for name, value in row.items()
  }


def added(metrics: Sequence[Metrics]) -> Metrics:
  """Several steps' metrics as one, added in their order."""
  return jax.tree.map(
    lambda *parts: sum(parts[1:], parts[0]), *jax.device_get(list(metrics))
  )


class Stopwatch:
  """Seconds by part of a step, as metrics: `with stopwatch('sample'): …`."""

  def __init__(self):
    self.seconds = collections.Counter()

  @contextlib.contextmanager
  def __call__(self, part: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
      yield
    finally:
      self.seconds[part] += time.perf_counter() - start

  def metrics(self) -> dict[str, Mean]:
    """`seconds/<part>`, one reading each."""
    return {f'seconds/{k}': Mean.of(v) for k, v in self.seconds.items()}
