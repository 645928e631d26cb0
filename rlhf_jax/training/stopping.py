"""Asking a run to stop, and stopping where nothing is lost.

A signal handler calls `ask`. It raises there and then, wherever the
run is, except inside `held`, where a step is finished first.
"""

import contextlib
import signal
import threading
import types
from collections.abc import Iterator

from rlhf_jax import processes


class Stopped(KeyboardInterrupt):
  """A run was asked to stop.

  Attributes:
    kept: what was saved because of it, for people; empty if nothing was.
    agreed: all processes of a run stop together.
  """

  kept = ''
  agreed = True

  def __str__(self) -> str:
    kept = self.kept or 'what was done is kept'
    return f'{kept}, and the same goes on from there'

  def _render_traceback_(self) -> list[str]:
    """What a notebook shows, in place of where in the code it was stopped."""
    return [f'Stopped: {self}']


_request = types.SimpleNamespace(asked=False, holds=0)


def ask() -> None:
  """Stops the run: now, or at the end of what is held.

  Raises:
    Stopped: now.
  """
  _request.asked = True
  if not _request.holds:
    raise Stopped


def check() -> None:
  """Stops if that was asked for; of several processes, where all agree on it.

  Raises:
    Stopped: it was.
  """
  if _request.asked or processes.stop_agreed():
    raise Stopped


def reset() -> None:
  """Forgets what was asked: a new command begins."""
  _request.asked = False


@contextlib.contextmanager
def held() -> Iterator[None]:
  """Delays a stop that is asked for until the block ends."""
  _request.holds += 1
  try:
    yield
  finally:
    _request.holds -= 1


@contextlib.contextmanager
def on_interrupt() -> Iterator[None]:
  """While the block runs, Ctrl-C asks for a stop, as in a notebook's cell.

  A handler that is there already, as in a command, stays.
  """
  main = threading.current_thread() is threading.main_thread()
  own = signal.default_int_handler
  if not main or signal.getsignal(signal.SIGINT) is not own:
    yield
    return
  reset()
  signal.signal(signal.SIGINT, lambda number, frame: ask())
  try:
    yield
  finally:
    signal.signal(signal.SIGINT, own)
    reset()
