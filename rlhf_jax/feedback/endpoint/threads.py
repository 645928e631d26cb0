"""Calls in threads: so many at a time, and so many a minute."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any


class Pace:
  """Lets so many requests a minute begin, and so many be under way.

  Whoever of several threads asks.

  Args:
    per_minute: how many, at equal distances, or None for all at once.
    at_a_time: how many.
  """

  def __init__(self, per_minute: float | None, at_a_time: int):
    self._gap = 60.0 / per_minute if per_minute else 0.0
    self._next, self._lock = 0.0, threading.Lock()
    self._free = threading.BoundedSemaphore(at_a_time)

  @contextlib.contextmanager
  def turn(self, stopped: threading.Event) -> Iterator[bool]:
    """Waits for a turn unless stopped, and gives whether it was not."""
    with self._free:
      with self._lock:
        now = time.monotonic()
        begin = max(now, self._next)
        if not stopped.is_set():
          self._next = begin + self._gap
      yield wait(stopped, begin - now) if begin > now else not stopped.is_set()


@contextlib.contextmanager
def in_threads(
  call: Callable[[Any, threading.Event], Any],
  items: Iterable[tuple[Any, Any]],
  count: int,
) -> Iterator[Iterator[tuple[Any, Any]]]:
  """Calls a function on items in threads, `count` at a time, in a block.

  Once the block ends, or a call fails, no further call begins, and those under
  way are waited for: they may be of use all the same. But Ctrl-C ends the block
  at once, and the end of the program waits for no call, as a thread pool of the
  standard library would.

  Args:
    call: takes an item, and an event that is set once no call is to begin. It
      fails by an exception that it raises or returns.
    items: pairs of a name and an item.
    count: of threads.

  Yields:
    Each name with the result of its call, as they end; the iterator raises the
    exception of the first that fails.
  """
  waiting, ended = queue.SimpleQueue(), queue.SimpleQueue()
  stopped = threading.Event()
  items = list(items)
  for item in items:
    waiting.put(item)

  def work():
    while not stopped.is_set():
      try:
        name, item = waiting.get_nowait()
      except queue.Empty:
        return
      try:
        result = call(item, stopped)
      except Exception as e:
        result = e
      ended.put((name, result))
      if isinstance(result, Exception):
        stopped.set()

  def results():
    for _ in items:
      name, result = ended.get()
      if isinstance(result, Exception):
        raise result
      yield name, result

  threads = [
    threading.Thread(target=work, daemon=True)
    for _ in range(min(count, len(items)))
  ]
  at_once = False
  try:
    for thread in threads:
      thread.start()
    yield results()
  except KeyboardInterrupt as e:
    # A run that is asked to stop raises a kind of its own.
    at_once = type(e) is KeyboardInterrupt
    raise
  finally:
    stopped.set()
    for thread in () if at_once else threads:
      if thread.is_alive():  # Not all need have started.
        thread.join()


def wait(stopped: threading.Event, seconds: float) -> bool:
  """Waits unless stopped; whether it was not."""
  return not stopped.wait(seconds)
