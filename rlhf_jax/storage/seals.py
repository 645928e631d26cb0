"""Checksums of files, and verifying them.

A seal is a file with the CRC-32 of all others in a folder. It tells a flipped
bit or a lost end, at the speed of the memory, but no tampering.
"""

import contextlib
import filecmp
import json
import os
import pathlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from rlhf_jax.storage import files

SEAL = 'checksums.json'
CHUNK = 1 << 24


class DamagedError(ValueError):
  """A file differs from what was written: a sentence with its path."""

  def __init__(self, path: pathlib.Path, why: str, delete: pathlib.Path):
    super().__init__(
      f'{path} {why}; delete {delete}, and the same command makes it again'
    )


def seal(folder: pathlib.Path) -> None:
  """Writes the checksums of all files in a folder, and flushes them to disk."""
  with files.naming(folder):
    found = {}
    for path in sorted(_files_in(folder)):
      with path.open('rb') as file:
        os.fsync(file.fileno())
      found[str(path.relative_to(folder))] = checksum(path)
    for inner in folder.rglob('*/'):
      files.fsync_folder(inner)
  files.write_json(folder / SEAL, found)


@contextlib.contextmanager
def new_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
  """A folder to fill; sealed, it is moved to `folder` at the end of the block.

  Where somebody else was faster, theirs stays.

  Raises:
    StorageError: it could not be written.
  """
  files.make_folder(folder.parent)
  unfinished = files.partial_of(folder)
  try:
    with files.naming(folder):
      unfinished.mkdir()
      yield unfinished
      seal(unfinished)
      try:
        unfinished.rename(folder)
      except OSError:
        if not folder.is_dir():
          raise
      files.fsync_folder(folder.parent)
  finally:
    with contextlib.suppress(OSError):  # Or it would hide the first error.
      files.remove(unfinished)


def sealed(folder: pathlib.Path) -> bool:
  """Whether a folder has a seal, whatever became of its files."""
  return (folder / SEAL).exists()


def verify(folder: pathlib.Path, *, delete: pathlib.Path) -> None:
  """Refuses a folder that is not what was sealed.

  Args:
    folder: the one that was sealed.
    delete: what the error advises to delete.

  Raises:
    DamagedError: naming the first file that differs or is not there.
  """
  if not folder.is_dir():
    raise DamagedError(folder, 'is not there', delete)
  if not sealed(folder):
    raise DamagedError(folder / SEAL, 'is not there', delete)
  expected = read_json(folder / SEAL, delete=delete)
  for name, digits in expected.items():
    path = folder / name
    if not path.is_file():
      raise DamagedError(path, 'is not there', delete)
    if checksum(path) != digits:
      raise DamagedError(path, 'is damaged: its checksum differs', delete)


def checksum(path: pathlib.Path) -> str:
  """Eight hexadecimal digits of a file's bytes."""
  found = 0
  with path.open('rb') as file:
    while chunk := file.read(CHUNK):
      found = zlib.crc32(chunk, found)
  return f'{found:08x}'


def same(one: pathlib.Path, other: pathlib.Path) -> bool:
  """Whether two files hold the same bytes; not where one is not there."""
  if not (one.is_file() and other.is_file()):
    return False
  return filecmp.cmp(one, other, shallow=False)


def read_json(path: pathlib.Path, *, delete: pathlib.Path) -> dict[str, Any]:
  """The object that a JSON file of ours holds.

  Raises:
    DamagedError: it holds none.
  """
  with files.naming(path):
    text = path.read_bytes()
  try:
    found = json.loads(text)
  except ValueError:
    found = None
  if not isinstance(found, dict):
    raise DamagedError(path, 'is damaged: it is no JSON object', delete)
  return found


def write_lines(path: pathlib.Path, rows: Iterable[Any]) -> None:
  """Writes rows as lines of JSON, with their checksum as the last line."""
  text = ''.join(json.dumps(row) + '\n' for row in rows)
  last = json.dumps({'checksum': f'{zlib.crc32(text.encode()):08x}'})
  files.write_text(path, text + last + '\n')


def read_lines(path: pathlib.Path) -> list[Any]:
  """The rows that `write_lines` wrote.

  Raises:
    DamagedError: they are not those.
  """
  with files.naming(path):
    lines = path.read_bytes().splitlines(keepends=True)
  found = f'{zlib.crc32(b"".join(lines[:-1])):08x}'
  if lines[-1:] != [json.dumps({'checksum': found}).encode() + b'\n']:
    raise DamagedError(path, 'is damaged: its checksum differs', path)
  return [json.loads(line) for line in lines[:-1]]


def _files_in(folder):
  return (p for p in folder.rglob('*') if p.is_file() and p.name != SEAL)
