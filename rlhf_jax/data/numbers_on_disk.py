"""Numbers of one type in a file, one after the other."""

import contextlib
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from rlhf_jax.storage import files

AT_A_TIME = 1 << 13  # Numbers that are written or searched at a time.


class Numbers:
  """Numbers in a file, read where they are asked for.

  They are not mapped into memory, where what was read would go on counting as
  the process's own.
  """

  def __init__(self, path: pathlib.Path, dtype: np.dtype):
    self._path, self._dtype = path, dtype
    with files.naming(path):
      self._file = path.open('rb')
      self._count = os.fstat(self._file.fileno()).st_size // dtype.itemsize

  def __len__(self) -> int:
    return self._count

  def read(self, start: int, stop: int) -> np.ndarray:
    """[stop − start] the numbers at these places."""
    size = self._dtype.itemsize
    with files.naming(self._path):
      # Unlike `seek` and `read`, of threads side by side.
      found = os.pread(self._file.fileno(), (stop - start) * size, start * size)
    return np.frombuffer(found, self._dtype)

  def column(self, name: str) -> np.ndarray:
    """[N] a field of each, of numbers that are structures."""
    found = np.zeros(len(self), self._dtype[name])
    for start in range(0, len(self), AT_A_TIME):
      stop = min(start + AT_A_TIME, len(self))
      found[start:stop] = self.read(start, stop)[name]
    return found


class Column(contextlib.AbstractContextManager):
  """A file that numbers are written to.

  Attributes:
    size: how many were added.
  """

  def __init__(self, path: pathlib.Path, dtype: np.dtype):
    self._file, self._dtype = path.open('wb'), dtype
    self._waiting: list[Any] = []
    self.size = 0

  def add(self, numbers: Iterable[Any]) -> None:
    """Adds numbers behind the others."""
    before = len(self._waiting)
    self._waiting.extend(numbers)
    self.size += len(self._waiting) - before
    if len(self._waiting) >= AT_A_TIME:
      self._flush()

  def _flush(self) -> None:
    self._file.write(np.array(self._waiting, self._dtype).tobytes())
    self._waiting.clear()

  def __exit__(self, *_) -> None:
    with self._file:
      self._flush()
