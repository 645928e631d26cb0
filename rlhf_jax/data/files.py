"""Files of one kind, as a source or a setting names them."""

import dataclasses
import functools
import inspect
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rlhf_jax.addressing import Code
from rlhf_jax.data import jsonl, kept_records
from rlhf_jax.data.kept_records import KeptRecords
from rlhf_jax.data.readers import Records, Stream
from rlhf_jax.storage import files
from rlhf_jax.types import Record
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

Dataset = Sequence[Record]
FEW = 2_000  # Records that are read in less time than it takes to keep them.
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
    notes: list[str] = []
    return Records(list(self._stream(folder, notes)), notes)

  def kept(
    self, folder: str | pathlib.Path, place: str | pathlib.Path
  ) -> Records | KeptRecords:
    """The same, on disk where there are more than FEW.

    Only one at a time may do so in a place.

    Args:
      folder: of the files.
      place: the folder to keep them in, by the content of the files.
    """
    address = Code().digest(kept_records.write, self.contents(folder))
    own = pathlib.Path(place) / f'records-{address}'
    files.sweep(own)
    if not own.is_dir():
      notes: list[str] = []
      records = self._stream(folder, notes)
      few = list(itertools.islice(records, FEW + 1))
      if len(few) <= FEW:
        return Records(few, notes)
      kept_records.write(own, itertools.chain(few, records), notes)
    return KeptRecords(own)

  def _stream(
    self, folder: str | pathlib.Path, notes: list[str]
  ) -> Iterator[Record]:
    """The records, one after the other; at the end the notes are there."""
    total = 0
    for name in self.names:
      found = self._opened(pathlib.Path(folder) / name)
      for record in found:
        total += 1
        if self.first is None or total <= self.first:
          yield record
      notes += getattr(found, 'notes', ())
    if self.first is not None and self.first < total:
      notes.append(f'the first {self.first} of {total} are taken')

  def _opened(self, path: pathlib.Path) -> Dataset | Stream:
    """The records of a file, a few at a time where its reader can."""
    options = getattr(self.read, 'keywords', {})  # Of a functools.partial.
    stream = getattr(getattr(self.read, 'func', self.read), 'stream', None)
    return self._read(path) if stream is None else stream(path, **options)

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


def _files(names, columns, read, first=None) -> Files:
  if columns:
    pairs = [part.partition('=') for part in columns.split(',')]
    given = {field.strip(): column.strip() for field, _, column in pairs}
    if len(given) < len(pairs) or not all([*given, *given.values()]):
      raise jsonl.DataError(
        'columns are given as FIELD=COLUMN, each field once and commas between '
        f'them, as in prompt=question,chosen=good; not {columns!r}.'
      )
    read = functools.partial(read, columns=given)
  return Files(tuple(names), read, first)
