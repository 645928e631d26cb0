"""Locks on stages, so that runs side by side break nothing of each other's.

Whoever reads what a stage made holds its lock shared, for as long as it may
still read; whoever makes or clears it holds it alone. The system lets go of the
locks of a process that ends, however it ends.
"""

import contextlib
import fcntl
import pathlib
import time
from collections.abc import Iterator
from typing import TextIO

from rlhf_jax.storage import files
from rlhf_jax.training import stopping

FOLDER = '.locks'
LOOK_SECONDS = 0.2  # Between two looks at whether a lock is free.


class Lock:
  """One name's lock under a folder of stages; held by nobody at first."""

  def __init__(
    self, stages_dir: pathlib.Path, name: str, *, who: str, console: TextIO
  ):
    """`who` waits for it, as `console` is told where that takes a while."""
    folder = stages_dir / FOLDER
    files.make_folder(folder)
    with files.naming(folder / name):
      self._file = (folder / name).open('w')
    self._who, self._console = who, console

  def share(self) -> None:
    """Waits until nobody holds it alone, and holds it beside others."""
    self._take(fcntl.LOCK_SH)

  def alone(self) -> None:
    """Waits until nobody else holds it, and holds it alone.

    What was held shared is let go of before: see again what is there.
    """
    fcntl.flock(self._file, fcntl.LOCK_UN)
    self._take(fcntl.LOCK_EX)

  def close(self) -> None:
    self._file.close()

  def _take(self, how):
    told = False
    while True:
      try:
        return fcntl.flock(self._file, how | fcntl.LOCK_NB)
      except BlockingIOError:
        if not told:
          print(
            f'{self._who:>13}  waits for another run that works on the same '
            f'stage, or still needs it',
            file=self._console,
            flush=True,
          )
        told = True
      stopping.check()
      time.sleep(LOOK_SECONDS)


@contextlib.contextmanager
def alone(stages_dir: pathlib.Path, name: str, **told) -> Iterator[None]:
  """Holds a name alone while the block runs; arguments as of `Lock`."""
  with contextlib.closing(Lock(stages_dir, name, **told)) as lock:
    lock.alone()
    yield


@contextlib.contextmanager
def shared(stages_dir: pathlib.Path, name: str, **told) -> Iterator[None]:
  """Holds a name beside others while the block runs."""
  with contextlib.closing(Lock(stages_dir, name, **told)) as lock:
    lock.share()
    yield


@contextlib.contextmanager
def unless_held(stages_dir: pathlib.Path, name: str) -> Iterator[bool]:
  """Whether nobody holds a name; if so, it is held while the block runs."""
  folder = stages_dir / FOLDER
  files.make_folder(folder)
  with (folder / name).open('w') as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      yield False
      return
    yield True
