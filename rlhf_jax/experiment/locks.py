"""Locks on stages, so that runs side by side break nothing of each other's.

Whoever reads what a stage made holds its lock shared, for as long as it may
still read; whoever makes or clears it holds it alone. The system lets go of the
locks of a process that ends, however it ends.
"""

import contextlib
import fcntl
import pathlib
import time
from typing import TextIO

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
    folder = stages_dir / FOLDER
    files.make_folder(folder)
    with files.naming(folder / name):
      self._file = (folder / name).open('w')
    self._who, self._console = who, console

  def share(self) -> 'Lock':
    """Waits until nobody holds it alone, and holds it shared."""
    return self._take(fcntl.LOCK_SH)

  def alone(self) -> 'Lock':
    """Waits until nobody else holds it, and holds it alone.

    What was held shared is let go of before: see again what is there.
    """
    fcntl.flock(self._file, fcntl.LOCK_UN)
    return self._take(fcntl.LOCK_EX)

  def alone_if_free(self) -> bool:
    """Holds it alone, unless somebody else holds it; whether it does."""
    return self._try(fcntl.LOCK_EX)

  def close(self) -> None:
    self._file.close()

  def __exit__(self, *_) -> None:
    self.close()

  def _try(self, how) -> bool:
    try:
      fcntl.flock(self._file, how | fcntl.LOCK_NB)
    except BlockingIOError:
      return False
    return True

  def _take(self, how):
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
    return self
