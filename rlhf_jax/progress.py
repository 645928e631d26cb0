"""Progress of long work: bars in a terminal or notebook, lines elsewhere.

A pipe or a log file gets a line now and then, so that it can be read later.
"""

import contextlib
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO

import tqdm

with warnings.catch_warnings():
  # A notebook without ipywidgets has a bar of text, which needs no warning.
  warnings.simplefilter('ignore', tqdm.TqdmWarning)
  from tqdm import auto

EVERY = 5.0  # Seconds between two lines.
SELDOM = 60.0  # The most between two on one wait, which come ever less often.
# Short, so that a terminal has room for the numbers behind it.
BAR = (
  '{desc}: {percentage:3.0f}%|{bar:10}| {n_fmt}/{total_fmt} {rate_fmt} '
  '{remaining} left{postfix}'
)


class Progress:
  """How far some work is, how fast it goes, how long still, key numbers."""

  def __init__(
    self,
    name: str,
    total: int,
    *,
    out: TextIO,
    start: int = 0,
    unit: str = 'step',
    began: float | None = None,
    every_seconds: float = EVERY,
  ):
    """Begins at `start` of `total` units.

    Args:
      name: of the work, for people.
      total: units in all.
      out: where it is shown.
      start: units that are done already.
      unit: what is counted.
      began: when it did, of time.perf_counter; now where None.
      every_seconds: between two lines, where there is no bar.
    """
    self._name, self._total, self._out, self._unit = name, total, out, unit
    self._start, self._every = start, every_seconds
    self._shown = time.perf_counter()
    self._began = self._shown if began is None else began
    self._bar = None
    if interactive(out):
      self._bar = auto.tqdm(
        total=total,
        initial=start,
        desc=f'{name:>13}',
        unit=unit,
        file=out,
        bar_format=BAR,
        **_size(out),
      )

  def show(self, done: int, numbers: Mapping[str, float]) -> None:
    """Shows how far it is, if it is time to, and always at the end."""
    if self._bar is not None:
      self._bar.set_postfix_str(_numbers(numbers), refresh=False)
      self._bar.update(done - self._bar.n)
      if done >= self._total:
        self._bar.close()
      return
    now = time.perf_counter()
    if done >= self._total or now - self._shown >= self._every:
      self._shown = now
      rate = (done - self._start) / max(now - self._began, 1e-9)
      said = [f'{self._name:>13} {done:>5}/{self._total}']
      if rate:  # The pace is unknown until one unit was timed.
        left = _clock((self._total - done) / rate)
        said.append(f'{self._pace(rate)}  {left} left')
      said.append(_numbers(numbers))
      print('  '.join(said).rstrip(), file=self._out, flush=True)

  def begin(self, done: int) -> None:
    """Counts time from here on: what came before was compiled first."""
    if done < self._total:
      self._start, self._began = done, time.perf_counter()
      if self._bar is not None:
        self._bar.unpause()

  @contextlib.contextmanager
  def waiting(self, what: str) -> Iterator[None]:
    """Says while the block runs that it takes its time: 'compiling'."""
    if self._bar is None:
      with waiting(f'{self._name:>13}  {what}', out=self._out):
        yield
      return
    with _every(1.0, lambda seconds: self._bar.refresh()):
      self._bar.set_postfix_str(what)
      yield
    self._bar.set_postfix_str('', refresh=False)

  def close(self) -> None:
    """Leaves the bar as it is, if there is one."""
    if self._bar is not None:
      self._bar.close()

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(self, *_) -> None:
    self.close()

  def _pace(self, rate):
    if 0.0 < rate < 1.0:
      return f'{1 / rate:5.1f} s/{self._unit} '
    return f'{rate:5.1f} {self._unit}s/s'


def track(
  items: Iterable[Any],
  name: str,
  total: int,
  *,
  out: TextIO,
  unit: str,
  after: float = 2.0,
) -> Iterator[Any]:
  """The items, one by one, shown once the work takes longer than `after` s."""
  began, shown = time.perf_counter(), None
  try:
    for done, item in enumerate(items, 1):
      yield item
      late = time.perf_counter() - began > after
      if shown is None and late and done < total:
        shown = Progress(name, total, out=out, unit=unit, began=began)
      if shown is not None:
        shown.show(done, {})
  finally:
    if shown is not None:
      shown.close()


@contextlib.contextmanager
def waiting(
  what: str, *, out: TextIO, every: float | None = None
) -> Iterator[None]:
  """Says now and then that something takes its time: 'compiling ppo'."""

  def tell(seconds):
    say(f'{what}, {seconds:.0f} s so far', out)

  with _every(every or EVERY, tell, slower=2.0):
    yield


@contextlib.contextmanager
def _every(length, do, slower=1.0):
  """Does something every so many seconds, or less often, in a block."""
  over, began = threading.Event(), time.perf_counter()

  def repeat():
    pause = length
    while not over.wait(pause):
      do(time.perf_counter() - began)
      pause = max(length, min(pause * slower, SELDOM))

  thread = threading.Thread(target=repeat, daemon=True)
  thread.start()
  try:
    yield
  finally:
    over.set()
    thread.join()


def say(line: str, out: TextIO) -> None:
  """Prints a line, above the bars that there are."""
  auto.tqdm.write(line, file=out)
  out.flush()


def interactive(out: TextIO) -> bool:
  """Whether somebody looks on: a terminal, or the cell of a notebook."""
  return getattr(out, 'isatty', lambda: False)() or in_notebook(out)


def in_notebook(out: TextIO) -> bool:
  """Whether it is the cell of a notebook, which shows a last value itself."""
  shell = getattr(sys.modules.get('IPython'), 'get_ipython', lambda: None)()
  return out is sys.stdout and hasattr(shell, 'kernel')


def _size(out):
  """How large a bar may be; a terminal that says no size has the usual one."""
  try:
    columns, rows = os.get_terminal_size(out.fileno())
  except (OSError, ValueError):
    columns, rows = -1, -1
  if columns and rows:
    return {'dynamic_ncols': True}
  # Of 0 rows tqdm would show nothing, and of 0 columns all but the last letter.
  return {'ncols': (columns or 80) - 1, 'nrows': rows or 24}


def _numbers(row):
  return '  '.join(f'{name} {value:.3g}' for name, value in row.items())


def _clock(seconds):
  return f'{int(seconds) // 60}:{int(seconds) % 60:02}'
