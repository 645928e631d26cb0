"""Datasets that were prepared once, read by place, a record at a time.

A split of one is named by a path that is no file: the folder of the dataset's
version, and in it the split, as in '~/tensorflow_datasets/hh_rlhf/1.0.0/train'.
"""

import functools
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from rlhf_jax.data import tfds_examples
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.names import listed, nearest
from rlhf_jax.data.sequences import OnDemand
from rlhf_jax.types import Record

_INFO, _FEATURES, _METADATA = (
  'dataset_info.json',
  'features.json',
  'metadata.json',
)
# Those that `builders`, which reads this room, prepares.
DATASETS = (
  'alpaca',
  'alpaca_eval',
  'alpaca_farm',
  'alpaca_farm_ranked',
  'comparisons',
  'demonstrations',
  'dolly',
  'hanna',
  'helpsteer',
  'hh_rlhf',
  'llmbar',
  'mt_bench',
  'oasst',
  'oasst_attributes',
  'pku_safe_rlhf',
  'prompts',
  'summarize_from_feedback',
  'ultrafeedback',
  'ultrafeedback_ranked',
  'vicuna',
)
AGAIN = 'delete it, and prepare it again (python -m launch.prepare)'


def data_dir() -> pathlib.Path:
  """Where TFDS keeps datasets, unless another folder is named."""
  given = os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
  return pathlib.Path(given).expanduser()


def find(place: str) -> pathlib.Path | None:
  """The folder of a prepared dataset's version; None if there is none.

  Args:
    place: of the version, or of the dataset for its newest version; or the name
      of a dataset in `data_dir`, where there is nothing else of that name.
  """
  path = pathlib.Path(place)
  if not path.exists() and path.name == place:
    path = data_dir() / place
  if _is_dataset(path):
    return path
  versions = [p for p in path.glob('*.*.*') if _is_dataset(p)]
  return max(versions, key=_version, default=None)


def published(folder: pathlib.Path) -> list[str]:
  """The splits of a prepared dataset, the one to train on first.

  Raises:
    DataError: none is to be trained on.
  """
  names = _splits(folder)
  if 'train' not in names:
    raise DataError(
      f'{folder} has the splits {", ".join(names)} and no train: it is to '
      f'measure on. Name a split to take it all the same: {folder}/{names[0]}'
    )
  return sorted(names, key=lambda name: name != 'train')


def absent(name: str) -> DataError:
  """Says that there is no file or dataset of a name, and what brings one."""
  said = f'there is neither a file {name} nor such a dataset in {data_dir()}'
  if name in DATASETS:
    return DataError(
      f'{said}; python -m launch.prepare {name} --from DIR brings it'
    )
  return DataError(
    f'{said}{nearest(name, DATASETS)} python -m launch.prepare lists those '
    'that it brings; name the files of others.'
  )


def measured_on(folder: pathlib.Path) -> pathlib.Path:
  """The split of a prepared dataset to measure on: its test split, or another.

  Raises:
    DataError: there is none but the one to train on.
  """
  others = [name for name in _splits(folder) if name != 'train']
  if not others:
    raise DataError(
      f'{folder} has the split train alone, and nothing to measure on; name it '
      f'to take it all the same: {folder}/train'
    )
  return folder / ('test' if 'test' in others else others[0])


def is_split(path: str | pathlib.Path) -> bool:
  """Whether a path means a split of a prepared dataset."""
  path = pathlib.Path(path)
  return _is_dataset(path.parent) and not path.exists()


def digest(path: str | pathlib.Path) -> str:
  """SHA-256 of a split's records, as it was when they were written, in hex."""
  path = pathlib.Path(path)
  digests = _json(path.parent / _METADATA).get('digests', {})
  if path.name not in digests:
    there = listed(digests) or 'none of ours'
    raise DataError(
      f'{path.parent} has no split {path.name}; its splits are {there}.'
    )
  return digests[path.name]


class Split(OnDemand[Record]):
  """The records of a split, in the order of the files that they are from.

  Each is read when it is asked for, so that none is held in memory.

  Attributes:
    notes: for a person: what is read, and how the dataset was prepared.
  """

  def __init__(self, path: str | pathlib.Path):
    """Opens the split that a path means.

    Raises:
      DataError: there is no such split, or the dataset holds no records.
    """
    self._path = pathlib.Path(path)
    digest(self._path)
    said = f'{self._path}: prepared, {len(self)} records'
    notes = _json(self._path.parent / _METADATA)['notes']
    self.notes = (said, *notes)

  def __len__(self) -> int:
    return len(self._source)

  def at(self, place: int) -> Record:
    try:
      example = self._source[place]
    except Exception as error:  # Whatever the library in C++ makes of damage.
      said = ' '.join(str(error).split())[:200]
      raise DataError(
        f'record {place} of {self._path} cannot be read ({said}); the dataset '
        f'is damaged: {AGAIN}.'
      ) from error
    return tfds_examples.record(example)

  @functools.cached_property
  def _source(self) -> Sequence[tfds_examples.Example]:
    import tensorflow_datasets as tfds  # Half a second, and seldom needed.

    builder = tfds.builder_from_directory(os.fspath(self._path.parent))
    return builder.as_data_source(self._path.name)


def _is_dataset(folder: pathlib.Path) -> bool:
  return all((folder / name).is_file() for name in (_INFO, _FEATURES))


def _splits(folder: pathlib.Path) -> list[str]:
  return [split['name'] for split in _json(folder / _INFO)['splits']]


def _version(folder: pathlib.Path) -> tuple[int, ...]:
  parts = folder.name.split('.')
  return tuple(int(part) if part.isdigit() else -1 for part in parts)


def _json(path: pathlib.Path) -> dict[str, Any]:
  try:
    return json.loads(path.read_text())
  except FileNotFoundError:
    return {}
  except ValueError as error:
    raise DataError(f'{path} is damaged ({error}); {AGAIN}.') from error
