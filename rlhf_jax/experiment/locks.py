"""Locks on stages, so that runs side by side break nothing of each other's.

Whoever reads what a stage made holds its lock shared, for as long as it may
still read; whoever makes or clears it holds it alone. The system lets go of the
locks of a process that ends, however it ends. Of a run in several processes the
first one holds them, for all.
"""

import contextlib
import fcntl
import pathlib
import time
from typing import TextIO

from rlhf_jax import processes
from rlhf_jax.storage import files
from rlhf_jax.training import stopping

FOLDER = '.locks'
LOOK_SECONDS = 0.2  # Between two looks at whether a lock is free.


class Lock(contextlib.AbstractContextManager):
  """One name's lock under a folder of stages; held by nobody at first.

  As a context it is let go of at the block's end: `with lock.alone(): …`.
  """

  def __init__(
    self, stages_dir: pathlib.Path, name: str, *, who: str, console: TextIO
  ):
    """`who` is the stage that is printed on the console while it waits."""
    self._path, self._file = stages_dir / FOLDER / name, None
    self._who, self._console = who, console
    processes.by_first(self._open)

  def share(self) -> 'Lock':
    """Waits until nobody holds it alone, and holds it shared."""
    processes.by_first(lambda: self._take(fcntl.LOCK_SH))
    return self

  def alone(self) -> 'Lock':
    """Waits until nobody else holds it, and holds it alone.

    What was held shared is let go of before: see again what is there.
    """
    processes.by_first(lambda: self._take(fcntl.LOCK_EX))
    return self

  def alone_if_free(self) -> bool:
    """Holds it alone, unless somebody else holds it; whether it does."""
    return processes.by_first(lambda: self._try(fcntl.LOCK_EX))

  def close(self) -> None:
    if self._file is not None:
      self._file.close()

  def __exit__(self, kind: type[BaseException] | None, *_) -> None:
    if kind is None:
      processes.wait('the end of what a lock is for')
    self.close()

  def _open(self):
    files.make_folder(self._path.parent)
    with files.naming(self._path):
      self._file = self._path.open('w')

  def _try(self, how) -> bool:
    try:
      fcntl.flock(self._file, how | fcntl.LOCK_NB)
    except BlockingIOError:
      return False
    return True

  def _take(self, how):
    if how == fcntl.LOCK_EX:
      fcntl.flock(self._file, fcntl.LOCK_UN)
    waited = False
    while not self._try(how):
      if not waited:
        print(
          f'{self._who:>13}  waits for another run that works on the same '
          f'stage, or still needs it',
          file=self._console,
          flush=True,
        )
      waited = True
      stopping.check()
      time.sleep(LOOK_SECONDS)
