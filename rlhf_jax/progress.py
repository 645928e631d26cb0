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
AFTER = 2.0  # Seconds that work takes before it is shown.
BETWEEN = '  '  # Two numbers.
SELDOM = 60.0  # The most between two on one wait, which come ever less often.
USUAL = 79  # Letters, where nobody says how many there is room for.
LINE = 80  # The most letters of a line of text.
COUNT = '{n_fmt}/{total_fmt}'
# Short, so that a terminal has room for the numbers behind it.
BAR = '{desc}: {percentage:3.0f}%|{bar:10}| ' + COUNT
LEFT = ' {remaining} left'


class _Bar(auto.tqdm):
  """A bar that in a terminal leaves out what it has no room for.

  Of a number cut at the margin nobody sees that it is cut.

  Attributes:
    waiting: whether what stands behind it is a wait, not numbers.
  """

  waiting = False

  def __str__(self):
    known = self.format_dict
    room, known['ncols'] = known['ncols'] or USUAL, None
    pace = _pace(known['rate'] or self._mean_rate(known), self.unit).strip()
    numbers = (self.postfix or '').split(BETWEEN)
    after = ' {pace}' + LEFT
    if self.waiting:
      numbers, after = [], f', {self.postfix}'
    line = self.format_meter(**known | {'bar_format': BAR + after}, pace=pace)
    if len(line) > room:
      pace = pace.replace(f' {self.unit}s', '')
      form = {'bar_format': COUNT + after}
      text = self.format_meter(**known | form, pace=pace)
      line = f'{_shortened(self.desc.strip(), room - len(text) - 1)} {text}'
    mark = ', '
    for number in filter(None, numbers):
      if len(line) + len(mark) + len(number) > room:
        break
      line, mark = f'{line}{mark}{number}', BETWEEN
    return line[:room]

  def _mean_rate(self, known):
    return (self.n - self.initial) / max(known['elapsed'], 1e-9)


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
  ):
    """Begins at `start` of `total` units.

    Args:
      name: of the work, for people.
      total: units in all.
      out: where it is shown.
      start: units that are done already.
      unit: what is counted.
      began: when it did, of time.perf_counter; now where None.
    """
    self._name, self._total, self._out, self._unit = name, total, out, unit
    self._start = start
    self._shown = time.perf_counter()
    self._began = self._shown if began is None else began
    self._bar = None
    if interactive(out):
      self._bar = _Bar(
        total=total,
        initial=start,
        desc=f'{name:>13}',
        unit=unit,
        file=out,
        bar_format=BAR + ' {rate_fmt}' + LEFT + '{postfix}',
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
    if done >= self._total or now - self._shown >= EVERY:
      self._shown = now
      rate = (done - self._start) / max(now - self._began, 1e-9)
      said = [f'{self._name:>13} {done:>5}/{self._total}']
      if rate:  # The pace is unknown until one unit was timed.
        left = _clock((self._total - done) / rate)
        said.append(f'{_pace(rate, self._unit)}  {left} left')
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

    def tell(seconds):
      self._bar.set_postfix_str(f'{what} {seconds:.0f} s')

    self._bar.waiting = True
    self._bar.set_postfix_str(what)
    with _every(1.0, tell):
      yield
    self._bar.waiting = False
    self._bar.set_postfix_str('', refresh=False)

  def close(self) -> None:
    """Leaves the bar as it is, if there is one."""
    if self._bar is not None:
      self._bar.close()

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(self, *_) -> None:
    self.close()


def track(
  items: Iterable[Any],
  name: str,
  total: int,
  *,
  out: TextIO,
  unit: str,
  each: int = 1,
) -> Iterator[Any]:
  """The items, one by one, shown once the work takes longer than AFTER.

  Args:
    items: what is worked on.
    name: of the work, for people.
    total: units in all.
    out: where it is shown.
    unit: what is counted.
    each: units of an item, of the last one perhaps fewer.
  """
  began, shown = time.perf_counter(), None
  try:
    for number, item in enumerate(items, 1):
      yield item
      done = min(number * each, total)
      late = time.perf_counter() - began > AFTER
      if shown is None and late and done < total:
        shown = Progress(name, total, out=out, unit=unit, began=began)
      if shown is not None:
        shown.show(done, {})
  finally:
    if shown is not None:
      shown.close()


@contextlib.contextmanager
def waiting(what: str, *, out: TextIO) -> Iterator[None]:
  """Says now and then that something takes its time: 'compiling ppo'."""

  def tell(seconds):
    say(f'{what}, {seconds:.0f} s so far', out)

  with _every(EVERY, tell, slower=2.0):
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


def width(out: TextIO, most: int = LINE) -> int:
  """Letters that a line may have: `most`, or what a narrow terminal shows."""
  try:
    columns = os.get_terminal_size(out.fileno()).columns if out.isatty() else 0
  except (OSError, ValueError):
    columns = 0
  return min(columns or most, most)


def _size(out):
  """How large a bar may be; a terminal that says no size has the usual one."""
  try:
    columns, rows = os.get_terminal_size(out.fileno())
  except (OSError, ValueError):
    columns, rows = -1, -1
  if columns and rows:
    return {'dynamic_ncols': True}
  # Of 0 rows tqdm would show nothing, and of 0 columns all but the last letter.
  return {'ncols': columns - 1 if columns else USUAL, 'nrows': rows or 24}


def _pace(rate, unit):
  """How fast it goes; unknown until one unit was timed."""
  if not rate:
    return '?'
  if rate < 1.0:
    return f'{1 / rate:5.1f} s/{unit} '
  return f'{rate:5.1f} {unit}s/s'


def _numbers(row):
  return BETWEEN.join(f'{name} {value:.3g}' for name, value in row.items())


def _shortened(name, room):
  """A name without its middle, where it is longer than there is room."""
  if len(name) <= max(room, 3):
    return name
  end = max(room - 1, 2) // 2
  return f'{name[: max(room - 1, 2) - end]}…{name[-end:]}'


def _clock(seconds):
  return f'{int(seconds) // 60}:{int(seconds) % 60:02}'
