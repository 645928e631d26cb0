"""Atomic writing of files and folders.

A file is written beside its place, flushed to the disk, and only then moved
there: after a kill or a power cut there is the old file or the new one. A kill
may leave `.<name>.<digits>.partial`.
"""

import contextlib
import errno
import json
import os
import pathlib
import re
import shutil
import types
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

PARTIAL = '.partial'
ADDRESS = re.compile('([a-z][a-z0-9]+):/')  # Of which a Path has one slash.
ADVICE = {
  errno.ENOSPC: 'the disk is full; make room, and run the same command again',
  errno.EDQUOT: 'the quota is used up; make room, and run the same again',
  errno.EFBIG: 'no file may be so large here (ulimit -f); give another folder',
  errno.EROFS: 'the disk is read-only; give a folder that can be written to',
  errno.EACCES: 'permission denied; change the rights, or give another folder',
  errno.EPERM: 'permission denied; change the rights, or give another folder',
  errno.ENOTDIR: 'a file lies where a folder has to be; move it away',
  errno.EEXIST: 'a file lies where a folder has to be; move it away',
  errno.EISDIR: 'a folder lies where a file has to be; move it away',
  errno.ENOTEMPTY: 'a folder lies where it has to be; move it away',
}


class StorageError(OSError):
  """A file could not be written or read: a sentence with its path."""

  @classmethod
  def of(cls, path: pathlib.Path, error: OSError) -> 'StorageError':
    """The system's error on `path` as a sentence, with what to do."""
    known = ADVICE.get(error.errno) or error.strerror or str(error)
    return cls(f'{path}: {known}')


@contextlib.contextmanager
def naming(path: pathlib.Path) -> Iterator[None]:
  """Turns an OSError into a StorageError that names `path`."""
  try:
    yield
  except StorageError:
    raise
  except OSError as e:
    raise StorageError.of(path, e) from e


@contextlib.contextmanager
def whole(path: pathlib.Path, mode: str = 'w') -> Iterator[IO]:
  """A file to write to, moved to `path` when the block ends without error.

  Raises:
    StorageError: it could not be written; what lay there before is kept.
  """
  path = pathlib.Path(path)
  partial = partial_of(path)
  encoding = None if 'b' in mode else 'utf-8'
  try:
    with naming(path):
      with partial.open(mode, encoding=encoding) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
      os.replace(partial, path)
      fsync_folder(path.parent)
  finally:
    with contextlib.suppress(OSError):  # Or it would hide the first error.
      partial.unlink(missing_ok=True)


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes a text file whole or not at all."""
  with whole(path) as file:
    file.write(text)


def write_json(path: pathlib.Path, content: Any) -> None:
  """Writes a JSON file whole or not at all."""
  write_text(path, json.dumps(content, indent=2) + '\n')


def write_lines(path: pathlib.Path, rows: Iterable[Any]) -> None:
  """Writes rows as lines of JSON, all of them or none."""
  with whole(path) as file:
    file.writelines(json.dumps(row) + '\n' for row in rows)


def append_line(path: pathlib.Path, row: Any) -> None:
  """Appends a line of JSON, on a new line after half a line left by a kill."""
  append_lines(path, [row])


def append_lines(path: pathlib.Path, rows: Iterable[Any]) -> None:
  """Appends lines of JSON, as `append_line` does; a kill may keep the first."""
  text = ''.join(json.dumps(row) + '\n' for row in rows)
  with naming(path), path.open('ab+') as file:
    broken = file.seek(0, os.SEEK_END) and _last_byte(file) != b'\n'
    file.write(b'\n' * broken + text.encode())
    file.flush()
    os.fsync(file.fileno())


def whole_rows(
  path: pathlib.Path, fields: Mapping[str, type | types.UnionType]
) -> Iterator[dict]:
  """The rows of a file of JSON lines that have these fields; none without one.

  What else is there, such as a line that a crash cut short, is left out.
  """
  with naming(path):
    lines = path.read_bytes().splitlines() if path.exists() else []
  for line in lines:
    with contextlib.suppress(ValueError):
      row = json.loads(line)
      if isinstance(row, dict) and all(
        name in row and isinstance(row[name], of) for name, of in fields.items()
      ):
        yield row


def make_folder(path: pathlib.Path) -> None:
  """Makes a folder and those above it, unless it is there.

  Raises:
    StorageError: it cannot be made; it is an address, see `check_local`.
  """
  check_local(path)
  with naming(path):
    path.mkdir(parents=True, exist_ok=True)


def check_local(path: pathlib.Path) -> None:
  """Refuses what is no path of this machine: gs://bucket/runs and its like.

  Raises:
    StorageError: how a bucket becomes a folder.
  """
  address = ADDRESS.match(str(path))
  if address is not None:
    said = f'{address[1]}://{str(path)[address.end() :].lstrip("/")}'
    raise StorageError(
      f'{said} is no folder of this machine: mount the bucket, with '
      f'"gcsfuse --implicit-dirs BUCKET FOLDER", on every host at the same '
      f'place, and name the folder there; of a bucket with a hierarchical '
      'namespace, for others have no folders that can be renamed, and '
      'launch/README.md says which paths must be shared'
    )


def remove(path: pathlib.Path) -> None:
  """Deletes a file or folder atomically, if it is there."""
  away = partial_of(path)
  with naming(path):
    try:
      path.rename(away)
    except FileNotFoundError:
      return
    fsync_folder(path.parent)
    _delete(away)


def sweep(path: pathlib.Path) -> None:
  """Deletes what a kill left of a file or folder, and inside of a folder.

  Only for the sole writer of the path.
  """
  left = list(path.parent.glob(f'.{path.name}.*{PARTIAL}'))
  if path.is_dir():
    left += path.glob(f'*{PARTIAL}')
  for partial in left:
    with naming(partial):
      _delete(partial)


def partial_of(path: pathlib.Path) -> pathlib.Path:
  """A place beside `path` that nobody else writes to."""
  return path.with_name(f'.{path.name}.{uuid.uuid4().hex[:12]}{PARTIAL}')


def fsync_folder(folder: pathlib.Path) -> None:
  """Makes the names in a folder outlast a power cut."""
  descriptor = os.open(folder, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)


def _last_byte(file):
  file.seek(-1, os.SEEK_END)
  return file.read(1)


def _delete(path):
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path, ignore_errors=True)  # Others may sweep it as well.
  else:
    path.unlink(missing_ok=True)
