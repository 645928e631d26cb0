"""Files of one kind, as a source or a setting names them."""

import dataclasses
import functools
import inspect
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rlhf_jax.addressing import Code
from rlhf_jax.data import folders, jsonl, kept_records, prepared, splits
from rlhf_jax.data.kept_records import KeptRecords
from rlhf_jax.data.names import listed
from rlhf_jax.data.readers import Records
from rlhf_jax.storage import files
from rlhf_jax.types import Record
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

Dataset = Sequence[Record]
FEW = 2_000  # Records that are read in less time than it takes to keep them.


class Sides(NamedTuple):
  """Records to learn from, and those held out of it.

  Attributes:
    training: to learn from.
    held_out: to measure on.
    notes: for a person, on how they were read and split.
  """

  training: Dataset
  held_out: Dataset
  notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
@checked
class Files:
  """Files that one reader reads, in a folder given elsewhere.

  Attributes:
    names: the files' names.
    read: path -> records, such as a function of `readers`, or `formats.read`
      and its like, which find the format by the fields.
    first: so many records are taken, from the beginning; all where None.
    held_out: names of files that whoever published them holds out of training;
      where there are none, what is held out is split off.
    descriptions: names of files beside these that are no data, to be told.
  """

  names: tuple[str, ...]
  read: Callable[[pathlib.Path], Dataset]
  first: Count | None = None
  held_out: tuple[str, ...] = ()
  descriptions: tuple[str, ...] = ()

  def records(self, folder: str | pathlib.Path) -> Records:
    """The records of all files, in order, and the notes on each file."""
    notes = [*folders.notes(self.descriptions)]
    names = (*self.names, *self.held_out)
    return Records(list(self._stream(folder, names, notes)), notes)

  def sides(
    self,
    folder: str | pathlib.Path,
    share: float,
    place: str | pathlib.Path,
  ) -> Sides:
    """The records to learn from, and those held out, on disk where many.

    Only one at a time may do so in a place.

    Args:
      folder: of the files.
      share: part of all openings that is held out, where `held_out` names no
        files; as of `splits.split`.
      place: the folder to keep them in, by the content of the files, where
        there are more than FEW.
    """
    records = self._kept(folder, self.names, place)
    notes = (*folders.notes(self.descriptions), *records.notes)
    if not self.held_out:
      training, held_out = splits.split(records, share)
      said = (
        f'{listed(self.names)}: split by a hash of what is said first, '
        f'{len(training)} to learn from and {len(held_out)} held out'
      )
      return Sides(training, held_out, (*notes, said))
    held_out = self._kept(folder, self.held_out, place)
    both = splits.on_both_sides(records, held_out)
    said = (
      f'{listed(self.held_out)}: held out as it was split; {both} openings '
      'are on both sides'
    )
    return Sides(records, held_out, (*notes, *held_out.notes, said))

  def _kept(
    self, folder: str | pathlib.Path, names: Sequence[str], place: Any
  ) -> Records | KeptRecords:
    """The records of some of the files, on disk where there are many."""
    read = Files(tuple(names), self.read, self.first)
    address = Code().digest(kept_records.write, read.contents(folder))
    own = pathlib.Path(place) / f'records-{address}'
    files.sweep(own)
    if not own.is_dir():
      notes: list[str] = []
      records = self._stream(folder, names, notes)
      few = list(itertools.islice(records, FEW + 1))
      if len(few) <= FEW:
        return Records(few, notes)
      kept_records.write(own, itertools.chain(few, records), notes)
    return KeptRecords(own)

  def _stream(
    self,
    folder: str | pathlib.Path,
    names: Sequence[str],
    notes: list[str],
  ) -> Iterator[Record]:
    """The records, one after the other; at the end the notes are there."""
    total = 0
    for name in names:
      found = opened(self.read, pathlib.Path(folder) / name)
      for record in found:
        total += 1
        if self.first is None or total <= self.first:
          yield record
      notes += getattr(found, 'notes', ())
    if self.first is not None and self.first < total:
      notes.append(f'the first {self.first} of {total} are taken')

  def contents(self, folder: str | pathlib.Path) -> list[Any]:
    """For a fingerprint: the reader, and each file's SHA-256."""
    first = [] if self.first is None else [self.first]
    held_out = [list(self.held_out)] if self.held_out else []
    names = (*self.names, *self.held_out)
    digests = [_digest(pathlib.Path(folder) / name) for name in names]
    return [self.read, *first, *held_out, *digests]


def opened(read: Callable[..., Any], path: pathlib.Path) -> Any:
  """What a reader finds in a file: a few records at a time, where it can."""
  options = getattr(read, 'keywords', {})  # Of a functools.partial.
  stream = getattr(getattr(read, 'func', read), 'stream', None)
  return _read(read, path) if stream is None else stream(path, **options)


def _read(read: Callable[..., Any], path: pathlib.Path) -> Any:
  """What a reader makes of a file; a failing one of a user's own is named."""
  try:
    return read(path)
  except jsonl.DataError:
    raise
  except Exception as error:
    own = inspect.unwrap(getattr(read, 'func', read))
    name = getattr(own, '__qualname__', type(own).__qualname__)
    module = getattr(own, '__module__', type(own).__module__)
    if module.startswith('rlhf_jax.'):
      raise
    raise jsonl.DataError(
      f'the reader {module}.{name} failed on {path.name} '
      f'({type(error).__name__}: {error}); a reader takes the path of a file '
      'and returns its records.'
    ) from error


def _digest(path: pathlib.Path) -> str:
  """Of a file's content, or of the records of a prepared split."""
  return (prepared if prepared.is_split(path) else jsonl).digest(path)


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
  if columns:
    read = functools.partial(read, columns=columns_of(columns))
  return Files(tuple(name.strip() for name in names.split(',')), read)


def files_at(
  place: str,
  columns: str,
  *,
  read: Callable[..., Dataset],
  first: int | None = None,
) -> tuple[str, Files]:
  """A folder, and the files in it that a path means.

  Args:
    place: of a file; of a folder, for the data in it, or of both with a pattern
      of files, as in 'data/hh_*', as of `folders.find`. Or a prepared dataset,
      as of `prepared.find`.
    columns: as of `own_files`.
    read: likewise.
    first: as of Files.

  Raises:
    DataError: as of `own_files`; or there are no such files in the folder.
  """
  path = pathlib.Path(place)
  if columns:
    read = functools.partial(read, columns=columns_of(columns))
  if dataset := prepared.find(place):
    training, *held_out = prepared.published(dataset)
    return str(dataset), Files((training,), read, first, tuple(held_out))
  folder, pattern = (path, '*') if path.is_dir() else (path.parent, path.name)
  if not path.is_file():
    found = folders.find(folder, pattern)
    if found.splits:
      training, *others = map(tuple, found.splits.values())
      held_out = tuple(itertools.chain(*others))
      return str(folder), Files(
        training, read, first, held_out, found.descriptions
      )
  if path.is_dir():
    raise jsonl.DataError(
      f'{place} holds no file of data, which would end in {folders.SAID}.'
    )
  if path.name == place and not (path.suffix or path.exists()):
    raise prepared.absent(place)
  return str(folder), Files((path.name,), read, first)


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
