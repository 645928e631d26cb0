"""Lines of JSON from files, plain or gzipped, with clear faults."""

import gzip
import json
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from rlhf_jax.data import names


class DataError(ValueError):
  """Data that cannot be used: what is wrong, where, and what to do."""


class Row(NamedTuple):
  """A line of a file, read.

  Attributes:
    where: 'file:line', the line counted from 1.
    fields: its JSON object.
  """

  where: str
  fields: dict[str, Any]


def read(path: str | pathlib.Path) -> Iterator[Row]:
  """Yields the objects of a .jsonl or .jsonl.gz file; blank lines are skipped.

  Raises:
    DataError: no such file, nothing in it, or a line that is no JSON object.
  """
  path = existing(path)
  row = None
  for number, line in enumerate(_lines(path), start=1):
    if not line.strip():
      continue
    row = Row(f'{path.name}:{number}', _object(line, f'{path.name}:{number}'))
    yield row
  if row is None:
    raise DataError(f'{path} holds no data; it needs one JSON object a line.')


def existing(path: str | pathlib.Path) -> pathlib.Path:
  """The path, if there is a file at it."""
  path = pathlib.Path(path)
  if path.is_file():
    return path
  if not path.parent.is_dir():
    raise DataError(
      f'there is no folder {path.parent} to read {path.name} from; correct '
      'the path (data_dir, where it is a data set).'
    )
  present = sorted(entry.name for entry in path.parent.iterdir())
  listed = ', '.join(present[:12]) + (', …' if len(present) > 12 else '')
  raise DataError(
    f'there is no file {path.name} in {path.parent}, which holds '
    f'{listed or "nothing"}' + names.nearest(path.name, present)
  )


def _lines(path: pathlib.Path) -> Iterator[bytes]:
  opener = gzip.open if path.suffix == '.gz' else open
  number = 0
  try:
    with opener(path, 'rb') as file:
      for line in file:
        number += 1
        yield line
  except (gzip.BadGzipFile, EOFError, zlib.error) as error:
    raise DataError(
      f'{path.name}: not a whole gzip file after line {number} ({error}); '
      'fetch it again, or drop .gz from the name of a plain file.'
    ) from error


def _object(line: bytes, where: str) -> dict[str, Any]:
  try:
    value = json.loads(line.decode('utf-8'))
  except UnicodeDecodeError as error:
    raise DataError(
      f'{where}: not UTF-8 (byte {error.start + 1} of the line); save the file '
      'as UTF-8.'
    ) from error
  except json.JSONDecodeError as error:
    raise DataError(
      f'{where}: not JSON at column {error.colno} ({error.msg}); each line '
      'must be one JSON object.'
    ) from error
  if not isinstance(value, dict):
    raise DataError(
      f'{where}: a JSON {type(value).__name__} where an object like '
      '{"prompt": …} is needed.'
    )
  return value
