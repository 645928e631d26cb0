"""Rows of Arrow and Parquet files, as `jsonl` gives those of JSON.

Arrow files are those of a folder that Hugging Face `datasets` saved, or any
other; pyarrow reads them, and `datasets` is not needed.
"""

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from rlhf_jax.data import jsonl
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.splits import TRAIN

SUFFIXES = ('.arrow', '.parquet')
ROWS = 1000  # In memory at a time.
# Beside the data of a saved folder: of one dataset, and of one with splits.
STATE, SPLITS = 'state.json', 'dataset_dict.json'


def read(path: str | pathlib.Path) -> Iterator[jsonl.Row]:
  """Yields the rows of a file, `where` being 'file:row', counted from 1.

  What JSON has no word for, such as a date, is read as a text.

  Raises:
    DataError: no such file, no rows, not whole; or pyarrow is not installed.
  """
  path = jsonl.existing(path)
  pyarrow = _pyarrow(path)
  number = 0
  with _whole(pyarrow, path), path.open('rb') as file:
    for batch in _BATCHES[path.suffix](file):
      foreign = [f.name for f in batch.schema if not _is_json(pyarrow, f.type)]
      for row in batch.to_pylist():
        number += 1
        row |= {n: str(row[n]) for n in foreign if row[n] is not None}
        yield jsonl.Row(f'{path.name}:{number}', row)
  if not number:
    raise DataError(f'{path} holds no data; it needs one row or more.')


def saved(folder: pathlib.Path) -> dict[str, list[str]]:
  """The files of a folder that `datasets` saved; none of any other folder.

  By the name of their split, 'train' first; under '' where there is one only.

  Raises:
    DataError: it has splits and none of them is 'train', or it is not whole.
  """
  if (folder / STATE).is_file():
    return {'': _files(folder)}
  if not (folder / SPLITS).is_file():
    return {}
  names = _json(folder / SPLITS, lambda found: list(map(str, found['splits'])))
  if TRAIN not in names:
    raise DataError(
      f'{folder} has the splits {", ".join(names)} and no {TRAIN}; name the '
      'folder of one of them.'
    )
  names.sort(key=lambda name: name != TRAIN)
  return {name: _files(folder, name) for name in names}


def _files(folder: pathlib.Path, split: str = '') -> list[str]:
  """The Arrow files of a dataset; caches that lie beside them are none."""
  return [
    str(pathlib.Path(split, file))
    for file in _json(
      folder / split / STATE,
      lambda found: [one['filename'] for one in found['_data_files']],
    )
  ]


def _json(path: pathlib.Path, part: Callable[[Any], list[str]]) -> list[str]:
  """A part of a JSON file that `datasets` wrote."""
  try:
    return part(json.loads(jsonl.existing(path).read_text()))
  except (ValueError, KeyError, TypeError) as error:
    if isinstance(error, DataError):
      raise
    raise DataError(
      f'{path} is not as `datasets` writes it; save the dataset again.'
    ) from error


def _pyarrow(path: pathlib.Path) -> ModuleType:
  try:
    import pyarrow
    import pyarrow.parquet
  except ModuleNotFoundError as error:
    raise jsonl.needed(path, error) from error
  return pyarrow


@contextlib.contextmanager
def _whole(pyarrow: ModuleType, path: pathlib.Path) -> Iterator[None]:
  """Turns an error of pyarrow into a sentence."""
  try:
    yield
  except (pyarrow.ArrowException, OSError) as error:
    said = ' '.join(str(error).split())[:200]
    raise DataError(
      f'{path.name}: not a whole {path.suffix[1:]} file ({said}); fetch or '
      'save it again.'
    ) from error


def _arrow_batches(file: Any) -> Iterator[Any]:
  """The batches of a stream, as `datasets` saves, or of an Arrow file."""
  from pyarrow import ipc

  magic = file.read(6)
  file.seek(0)
  if magic != b'ARROW1':
    yield from ipc.open_stream(file)
    return
  reader = ipc.open_file(file)
  for i in range(reader.num_record_batches):
    yield reader.get_batch(i)


def _parquet_batches(file: Any) -> Iterator[Any]:
  from pyarrow import parquet

  yield from parquet.ParquetFile(file).iter_batches(batch_size=ROWS)


_BATCHES = {'.arrow': _arrow_batches, '.parquet': _parquet_batches}


def _is_json(pyarrow: ModuleType, kind: Any) -> bool:
  """Whether values of a type are JSON's in Python."""
  types = pyarrow.types
  if types.is_struct(kind):
    return all(_is_json(pyarrow, field.type) for field in kind)
  if (
    types.is_dictionary(kind)
    or types.is_list(kind)
    or types.is_large_list(kind)
  ):
    return _is_json(pyarrow, kind.value_type)
  return any(
    known(kind)
    for known in (
      types.is_null,
      types.is_boolean,
      types.is_integer,
      types.is_floating,
      types.is_string,
      types.is_large_string,
    )
  )
