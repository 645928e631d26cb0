"""Files of one kind, as a source or a setting names them."""

import dataclasses
import functools
import inspect
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from rlhf_jax.data import jsonl
from rlhf_jax.data.readers import Records
from rlhf_jax.types import Record
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

Dataset = Sequence[Record]
JSON = ('.json', '.jsonl', '.json.gz', '.jsonl.gz')


@dataclasses.dataclass(frozen=True)
@checked
class Files:
  """Files that one reader reads, in a folder given elsewhere.

  Attributes:
    names: the files' names.
    read: path -> records, such as a function of `readers`, or `formats.read`
      and its like, which find the format by the fields.
    first: so many records are taken, from the beginning; all where None.
  """

  names: tuple[str, ...]
  read: Callable[[pathlib.Path], Dataset]
  first: Count | None = None

  def records(self, folder: str | pathlib.Path) -> Records:
    """The records of all files, in order, and the notes on each file."""
    found = [self._read(pathlib.Path(folder) / name) for name in self.names]
    records = [record for records in found for record in records]
    notes = [n for records in found for n in getattr(records, 'notes', ())]
    if self.first is not None and self.first < len(records):
      notes.append(f'the first {self.first} of {len(records)} are taken')
    return Records(records[: self.first], notes)

  def _read(self, path: pathlib.Path) -> Dataset:
    """The records of a file; a failing reader of a user's own is named."""
    try:
      return self.read(path)
    except jsonl.DataError:
      raise
    except Exception as error:
      read = inspect.unwrap(getattr(self.read, 'func', self.read))
      name = getattr(read, '__qualname__', type(read).__qualname__)
      module = getattr(read, '__module__', type(read).__module__)
      if module.startswith('rlhf_jax.'):
        raise
      raise jsonl.DataError(
        f'the reader {module}.{name} failed on {path.name} '
        f'({type(error).__name__}: {error}); a reader takes the path of a file '
        'and returns its records.'
      ) from error

  def contents(self, folder: str | pathlib.Path) -> list[Any]:
    """For a fingerprint: the reader, and each file's SHA-256."""
    paths = [pathlib.Path(folder) / name for name in self.names]
    first = [] if self.first is None else [self.first]
    return [self.read, *first, *map(jsonl.digest, paths)]


def own_files(
  names: str, columns: str, *, read: Callable[..., Dataset]
) -> Files:
  """Files as settings give them.

  Args:
    names: of the files, commas between them.
    columns: the files' names of fields, as in 'prompt=question,chosen=good'; ''
      if they have the names of the format.
    read: a reader of `formats` that takes `columns`.

  Raises:
    DataError: columns that are not FIELD=COLUMN, or a field twice.
  """
  return _files([name.strip() for name in names.split(',')], columns, read)


def files_at(
  place: str,
  columns: str,
  *,
  read: Callable[..., Dataset],
  first: int | None = None,
) -> tuple[str, Files]:
  """A folder, and the files in it that a path means.

  Args:
    place: of a file; of a folder, for all files of JSON in it; or of both with
      a pattern of files, as in 'data/hh_*'.
    columns: as of `own_files`.
    read: likewise.
    first: as of Files.

  Raises:
    DataError: as of `own_files`; or there are no such files in the folder.
  """
  path = pathlib.Path(place)
  folder, pattern = path.parent, path.name
  if path.is_dir():
    folder, pattern = path, '*'
  found = sorted(
    p.name
    for p in folder.glob(pattern)
    if p.name.endswith(JSON) and not path.is_file()
  )
  if path.is_dir() and not found:
    raise jsonl.DataError(
      f'{place} holds no file of JSON, which would end in {", ".join(JSON)}.'
    )
  return str(folder), _files(found or [path.name], columns, read, first)


def columns_of(text: str) -> dict[str, str]:
  """{field of a format: the files' name of it}, as a setting gives them.

  Raises:
    DataError: what is not FIELD=COLUMN, or a field twice.
  """
  pairs = [part.partition('=') for part in text.split(',')] if text else []
  given = {field.strip(): column.strip() for field, _, column in pairs}
  if len(given) < len(pairs) or not all([*given, *given.values()]):
    raise jsonl.DataError(
      'columns are given as FIELD=COLUMN, each field once and commas between '
      f'them, as in prompt=question,chosen=good; not {text!r}.'
    )
  return given


def _files(names, columns, read, first=None) -> Files:
  if columns:
    read = functools.partial(read, columns=columns_of(columns))
  return Files(tuple(names), read, first)
