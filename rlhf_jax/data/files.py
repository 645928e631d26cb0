"""Files of one format, as a source or a setting names them."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Sequence

from rlhf_jax.data import formats, jsonl
from rlhf_jax.data.gathering import Records
from rlhf_jax.types import Comparison, Demonstration, Prompt, Rated

Dataset = (
  Sequence[Prompt]
  | Sequence[Demonstration]
  | Sequence[Comparison]
  | Sequence[Rated]
)


@dataclasses.dataclass(frozen=True)
class Files:
  """Files of one format, in a folder given elsewhere.

  Attributes:
    names: the files' names.
    read: a function of `readers`, or one like them: path -> records.
      `formats.read` and its kin find the format by the fields.
  """

  names: tuple[str, ...]
  read: Callable[[pathlib.Path], Dataset]

  def records(self, folder: str | pathlib.Path) -> Records:
    """The records of all files, in order, and what is noted of each file."""
    found = [self._read(pathlib.Path(folder) / name) for name in self.names]
    return Records(
      (record for records in found for record in records),
      (note for records in found for note in getattr(records, 'notes', ())),
    )

  def _read(self, path: pathlib.Path) -> Dataset:
    """The records of a file; a reader of one's own may fail in any way."""
    try:
      return self.read(path)
    except jsonl.DataError:
      raise
    except Exception as error:
      name = reader_name(self.read)
      if name.startswith('rlhf_jax.'):
        raise
      raise jsonl.DataError(
        f'the reader {name} failed on {path.name} ({type(error).__name__}: '
        f'{error}); a reader takes the path of a file and returns its records.'
      ) from error

  def contents(self, folder: str | pathlib.Path) -> list[str]:
    """What the records come from: the reader's name and each file's SHA-256."""
    paths = [pathlib.Path(folder) / name for name in self.names]
    return [reader_name(self.read), *map(jsonl.digest, paths)]


def own_files(
  names: str, columns: str, *, read: Callable[..., Dataset]
) -> Files:
  """Files as settings give them.

  Args:
    names: of the files, commas between them.
    columns: what the files call the fields of their format, as in
      'prompt=question,chosen=good'; '' where they call them by their names.
    read: a reader of `formats` that takes `columns`.

  Raises:
    DataError: columns that are not FIELD=COLUMN, or a field twice.
  """
  if columns:
    pairs = [part.partition('=') for part in columns.split(',')]
    given = {field.strip(): column.strip() for field, _, column in pairs}
    if len(given) < len(pairs) or not all([*given, *given.values()]):
      raise jsonl.DataError(
        'columns are given as FIELD=COLUMN, each field once and commas between '
        f'them, as in prompt=question,chosen=good; not {columns!r}.'
      )
    read = functools.partial(read, columns=given)
  return Files(tuple(name.strip() for name in names.split(',')), read)


def reader_name(read: Callable) -> str:
  """The name of a reader, with what is bound to it."""
  if isinstance(read, formats.Format):
    return read.name
  if isinstance(read, functools.partial):
    bound = {
      name: reader_name(value) if callable(value) else value
      for name, value in read.keywords.items()
    }
    return f'{reader_name(read.func)} {json.dumps(bound, sort_keys=True)}'
  return f'{read.__module__}.{read.__qualname__}'
