"""A file of JSON lines with one writer, of which no kill loses a line."""

import contextlib
import fcntl
import json
import os
import pathlib
from typing import Any

from rlhf_jax.storage import files


class Journal:
  """Lines that are on the disk once `append` returns.

  The file is locked while it is open, against a second writer, by the system,
  which lets go of the lock of a process that ends, however it ends.

  Attributes:
    path: of the file.
    rows: what its lines hold, in their order.
    torn: the end of it that is no whole line, or b''. Whoever wrote it was
      never told that it is kept; the next line is written over it.
  """

  def __init__(self, path: str | pathlib.Path):
    """Opens a file, or makes it with the folders above it.

    Raises:
      StorageError: it cannot be opened, another process has it open, or a line
        before the last is no JSON object.
    """
    self.path = pathlib.Path(path)
    files.make_folder(self.path.parent)
    with files.naming(self.path):
      self._file = self._opened(self.path)
      try:
        self._file.seek(0)
        text = self._file.read()
        self.rows, self.torn = parsed(text, self.path)
        self._size = len(text) - len(self.torn)
        if text[-1:] not in (b'', b'\n') and not self.torn:
          _write(self._file.fileno(), b'\n')  # It lacked that alone.
          self._size += 1
      except BaseException:
        self._file.close()
        raise

  def append(self, row: dict[str, Any]) -> None:
    """Adds a line, and flushes it to the disk.

    Raises:
      StorageError: it is not kept, and the file is as it was.
    """
    number, line = self._file.fileno(), _line(row)
    with files.naming(self.path):
      os.ftruncate(number, self._size)
      try:
        _write(number, line)
      except OSError:
        with contextlib.suppress(OSError):
          os.ftruncate(number, self._size)
        raise
    self.rows.append(row)
    self._size += len(line)

  def replace(self, place: int, row: dict[str, Any]) -> None:
    """Puts a line in the place of another, the whole file or nothing.

    Raises:
      StorageError: it is not kept, and the file is as it was.
    """
    rows = [*self.rows]
    rows[place] = row
    content = b''.join(map(_line, rows))
    with files.naming(self.path):
      new = self._opened(files.partial_of(self.path))
    try:
      with files.naming(self.path):
        _write(new.fileno(), content)
        os.replace(new.name, self.path)
    except BaseException:
      with contextlib.suppress(OSError):
        os.unlink(new.name)
      new.close()
      raise
    self._file.close()
    self._file, self.rows, self._size = new, rows, len(content)
    with files.naming(self.path):
      files.fsync_folder(self.path.parent)

  def close(self) -> None:
    """Lets another writer have the file."""
    self._file.close()

  def __enter__(self) -> 'Journal':
    return self

  def __exit__(self, *_) -> None:
    self.close()

  def _opened(self, path):
    file = path.open('ab+', buffering=0)
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      # Whoever had it open may have put another file in its place meanwhile.
      same = os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
      same = False
    if not same:
      file.close()
      raise files.StorageError(
        f'{self.path} is being written by another process; stop that one, or '
        'name another file'
      )
    return file


def read(path: str | pathlib.Path) -> list[dict[str, Any]]:
  """The rows of a file that another process may be writing.

  Raises:
    StorageError: it cannot be read, or a line before the last is none.
  """
  path = pathlib.Path(path)
  with files.naming(path):
    text = path.read_bytes()
  return parsed(text, path)[0]


def parsed(
  text: bytes, path: pathlib.Path
) -> tuple[list[dict[str, Any]], bytes]:
  """The rows of a file's text, and the end of it that is no whole line.

  Raises:
    StorageError: a line before the last is no JSON object, or all there is
      does not begin as one.
  """
  *lines, torn = text.split(b'\n')
  rows = []
  for number, line in enumerate(lines, 1):
    if line.strip():
      row = _object(line)
      if row is None:
        raise files.StorageError(
          f'{path}:{number}: is no JSON object; mend the line or take it out, '
          'or name another file'
        )
      rows.append(row)
  if (row := _object(torn)) is not None:
    return [*rows, row], b''
  if not rows and torn.strip() and not torn.lstrip().startswith(b'{'):
    raise files.StorageError(
      f'{path} is something else than lines of JSON objects; name another file'
    )
  return rows, torn


def _write(number: int, content: bytes) -> None:
  """Writes to an open file, all of it, and flushes it to the disk."""
  while content:
    content = content[os.write(number, content) :]
  os.fsync(number)


def _line(row: dict[str, Any]) -> bytes:
  return json.dumps(row).encode() + b'\n'


def _object(line: bytes) -> dict[str, Any] | None:
  try:
    row = json.loads(line)
  except (ValueError, RecursionError):
    return None
  return row if isinstance(row, dict) else None
