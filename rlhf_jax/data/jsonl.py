"""JSON from files, a line or an array, plain or packed, with clear faults."""

import contextlib
import hashlib
import itertools
import json
import pathlib
import re
import stat
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from rlhf_jax.data import names, packed


class DataError(ValueError):
  """Data that cannot be used: a sentence of the fault, its place and advice."""


class Row(NamedTuple):
  """An object of a file, read.

  Attributes:
    where: 'file:line', the line counted from 1.
    fields: its JSON object.
  """

  where: str
  fields: dict[str, Any]


def read(path: str | pathlib.Path) -> Iterator[Row]:
  """Yields the objects of a file of JSON lines; blank lines are skipped.

  What ends in .gz, .xz or .zst is unpacked.

  Raises:
    DataError: no such file, nothing in it, or a line that is no JSON object.
  """
  path = existing(path)
  return _not_empty(path, _objects(path, _lines(path)))


def read_any(path: str | pathlib.Path) -> Iterator[Row]:
  """Yields the objects of a file of JSON lines, or of one JSON array.

  An array, which begins with [, may be laid out over lines in any way; an
  object of it is where it begins.

  Raises:
    DataError: as `read`, and an array that holds anything but objects.
  """
  path = existing(path)
  lines = _lines(path)
  before = []
  for line in lines:
    before.append(line)
    if line.strip():
      break
  if before and before[-1].lstrip().startswith(b'['):
    return _not_empty(path, _array(path, b''.join([*before, *lines])))
  return _not_empty(path, _objects(path, itertools.chain(before, lines)))


def existing(path: str | pathlib.Path) -> pathlib.Path:
  """The path, if there is a file at it.

  Raises:
    DataError: there is none, or it is a folder, a pipe or the like.
  """
  path = pathlib.Path(path)
  try:
    mode = path.stat().st_mode
  except (FileNotFoundError, NotADirectoryError):
    raise DataError(_missing(path)) from None
  except (OSError, ValueError) as error:  # ValueError: a null character.
    raise DataError(f'{_short(path)}: {_reason(error)}.') from None
  if stat.S_ISDIR(mode):
    raise DataError(f'{path} is a folder; name a file in it.')
  if not stat.S_ISREG(mode):
    raise DataError(f'{path} is a pipe or a device; it must be a file.')
  return path


def digest(path: str | pathlib.Path) -> str:
  """SHA-256 of a file's content, in hex."""
  path = existing(path)
  with _readable(path), path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _missing(path: pathlib.Path) -> str:
  with _readable(path.parent):
    if not path.parent.is_dir():
      return (
        f'there is no folder {path.parent} to read {path.name} from; correct '
        'the path (data_dir, where it is a data set).'
      )
    present = sorted(entry.name for entry in path.parent.iterdir())
  listed = ', '.join(present[:12]) + (', …' if len(present) > 12 else '')
  return (
    f'there is no file {path.name} in {path.parent}, which holds '
    f'{listed or "nothing"}' + names.nearest(path.name, present)
  )


@contextlib.contextmanager
def _readable(path: pathlib.Path):
  """Turns an OSError into a sentence."""
  try:
    yield
  except OSError as error:
    raise DataError(
      f'{_short(path)} cannot be read: {_reason(error)}; see to the disk and '
      'to who may read it.'
    ) from error


def _reason(error: Exception) -> str:
  return getattr(error, 'strerror', None) or f'{error}, so it names no file'


def _short(path: pathlib.Path) -> str:
  name = str(path).replace('\0', '\\0')
  return name if len(name) < 200 else f'{name[:100]}…'


def needed(path: pathlib.Path, error: ModuleNotFoundError) -> DataError:
  """The error for a file whose reading needs a package that is not there."""
  package = str(error.name).partition('.')[0]
  return DataError(
    f'to read {path.name}, the package {package} is needed: '
    f'pip install {package}'
  )


def _opened(path: pathlib.Path, packing: packed.Packing) -> BinaryIO:
  try:
    return packing.open(path)
  except ModuleNotFoundError as error:
    raise needed(path, error) from error


def _lines(path: pathlib.Path) -> Iterator[bytes]:
  packing, number = packed.of(path), 0
  with _readable(path), _opened(path, packing) as file:
    try:
      for line in file:
        number += 1
        yield line
    except packing.faults as error:
      if getattr(error, 'errno', None):
        raise
      raise DataError(
        f'{path.name}: not a whole {packing.name} file after line {number} '
        f'({error}); fetch it again, or drop {path.suffix} from the name of a '
        'plain file.'
      ) from error


def _not_empty(path: pathlib.Path, rows: Iterator[Row]) -> Iterator[Row]:
  row = None
  for row in rows:
    yield row
  if row is None:
    raise DataError(f'{path} holds no data; it needs one JSON object a line.')


def _objects(path: pathlib.Path, lines: Iterable[bytes]) -> Iterator[Row]:
  for number, line in enumerate(lines, start=1):
    if not line.strip():
      continue
    where = f'{path.name}:{number}'
    text = _text(path, line.rstrip(b'\r\n'), number)
    with _parsing(path, number):
      value = _DECODER.decode(text)
    yield Row(where, _object(value, where))


def _array(path: pathlib.Path, content: bytes) -> Iterator[Row]:
  """The objects of a JSON array, one after the other."""
  text = _text(path, content)
  start = _past_space(text, text.index('[') + 1)
  number = 1 + text.count('\n', 0, start)
  closed = text.startswith(']', start)
  last, count = 0, 0
  while not closed:
    count += 1
    where = f'{path.name}:{number}'
    if number == last:  # The line alone would not find it.
      where += f' (item {count})'
    last = number
    with _parsing(path, number, start, 'the array must hold JSON objects'):
      value, end = _DECODER.raw_decode(text, start)
    yield Row(where, _object(value, where))
    comma = _past_space(text, end)
    closed = text.startswith(']', comma)
    if not closed and not text.startswith(',', comma):
      raise DataError(
        f'{path.name}:{number + text.count(chr(10), start, comma)}: the array '
        'breaks off, or a comma is missing; it must be a whole JSON array.'
      )
    following = comma if closed else _past_space(text, comma + 1)
    number += text.count('\n', start, following)
    start = following
  if text[start + 1 :].strip():
    raise DataError(f'{path.name}:{number}: more follows the end of the array.')


def _past_space(text: str, place: int) -> int:
  """The first place from this one on that is no white space."""
  return _SPACE.match(text, place).end()


class _Twice(Exception):
  """A name that an object has more than once."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  made = dict(pairs)
  if len(made) < len(pairs):
    given = [name for name, _ in pairs]
    raise _Twice(next(name for name in given if given.count(name) > 1))
  return made


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)
_SPACE = re.compile(r'[ \t\r\n]*')


@contextlib.contextmanager
def _parsing(
  path: pathlib.Path,
  number: int,
  start: int = 0,
  due: str = 'each line must be one JSON object',
):
  """Turns an error of the decoder into a sentence.

  Args:
    number: the line that begins at, or holds, the character `start`.
    start: where the value begins in the decoded text.
    due: a clause, what the file must hold.
  """
  where = f'{path.name}:{number}'
  try:
    yield
  except json.JSONDecodeError as error:
    number += error.doc.count('\n', start, error.pos)
    # The library's words end where it would print a place.
    said = error.msg.removesuffix(' at').removesuffix(' starting')
    raise DataError(
      f'{path.name}:{number}: not JSON at column {error.colno} ({said}); {due}.'
    ) from error
  except _Twice as error:
    raise DataError(
      f'{where}: an object has the field {names.quoted(str(error))} twice; '
      'leave one of them out.'
    ) from None
  except RecursionError:
    raise too_deep(where) from None
  except ValueError:  # More digits than Python turns into a number.
    raise DataError(
      f'{where}: a number has too many digits; write it as a text.'
    ) from None


def too_deep(where: str) -> DataError:
  """The error for a line whose parser ran out of stack."""
  return DataError(
    f'{where}: lists or objects lie too deep in each other; make it flatter.'
  )


def _text(path: pathlib.Path, content: bytes, number: int = 1) -> str:
  """Content that begins with line `number`, as text."""
  if content.startswith(b'\xef\xbb\xbf'):
    raise DataError(
      f'{path.name}:{number}: begins with a byte order mark (BOM); save the '
      'file as UTF-8 without one.'
    )
  try:
    return content.decode('utf-8')
  except UnicodeDecodeError as error:
    number += content.count(b'\n', 0, error.start)
    byte = error.start - content.rfind(b'\n', 0, error.start)
    raise DataError(
      f'{path.name}:{number}: not UTF-8 (byte {byte} of the line); save the '
      'file as UTF-8.'
    ) from error


def _object(value: Any, where: str) -> dict[str, Any]:
  if not isinstance(value, dict):
    raise DataError(
      f'{where}: a JSON {type(value).__name__} where an object like '
      '{"prompt": …} is needed.'
    )
  return value
