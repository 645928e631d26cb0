"""Calls in threads that nobody has to wait for."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def calls(
  call: Callable[[Any, threading.Event], Any],
  items: Iterable[tuple[Any, Any]],
  count: int,
) -> Iterator[tuple[Any, Any]]:
  """Calls a function on items in threads, as many as `count` at a time.

  Neither closing the iterator nor the end of the program waits for calls under
  way: a thread pool of the standard library would.

  Args:
    call: takes an item, and an event that is set once nobody waits any more.
    items: pairs of a name and an item.

  Yields:
    A name and what the call returned or raised, in the order they end.
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
        ended.put((name, call(item, stopped)))
      except Exception as e:
        ended.put((name, e))

  for _ in range(min(count, len(items))):
    threading.Thread(target=work, daemon=True).start()
  try:
    for _ in items:
      yield ended.get()
  finally:
    stopped.set()


def wait(stopped: threading.Event, seconds: float) -> bool:
  """Waits; whether anybody still waits for the call, at once where not."""
  return not stopped.wait(seconds)
