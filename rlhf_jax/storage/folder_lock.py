"""A folder with one writer."""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

from rlhf_jax.storage import files


@contextlib.contextmanager
def alone(folder: str | pathlib.Path) -> Iterator[None]:
  """Holds a folder against a second writer, and makes it if it is not there.

  The system lets go of the lock of a process that ends, however it ends. A
  folder that was made and stayed empty is taken away again.

  Raises:
    StorageError: it cannot be made, or another process holds it.
  """
  folder = pathlib.Path(folder)
  new = not folder.exists()
  files.make_folder(folder)
  with files.naming(folder):
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
  try:
    try:
      fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise files.StorageError(
        f'{folder} is being written by another process; stop that one, or name '
        'another folder'
      ) from error
    yield
  finally:
    if new:
      with contextlib.suppress(OSError):
        folder.rmdir()
    os.close(number)
