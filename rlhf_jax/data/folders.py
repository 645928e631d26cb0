"""What a folder of data holds: the files of each split, and JSON that is none.

A folder is one that Hugging Face `datasets` saved, or of any files of data.
Where all of their names say a split, as in 'train.jsonl' beside 'test.jsonl',
the splits are as they say.
"""

import json
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rlhf_jax.data import arrow, packed
from rlhf_jax.data.splits import TEST, TRAIN, VALIDATION

LINES = ('.json', '.jsonl')
ENDS = tuple(end + pack for end in LINES for pack in ('', *packed.PACKINGS))
READ = (*ENDS, *arrow.SUFFIXES)
SAID = ', '.join((*LINES, *arrow.SUFFIXES)) + (
  f' (JSON also with {", ".join(packed.PACKINGS)} behind it)'
)
DATA = 'data'  # A folder of files inside of one that holds none itself.
# Splits, and the words for them in names of files.
WORDS = {
  TRAIN: ('train', 'training'),
  VALIDATION: ('validation', 'valid', 'val', 'dev'),
  TEST: ('test', 'testing', 'eval', 'evaluation'),
}


class FolderFiles(NamedTuple):
  """The data of a folder.

  Attributes:
    splits: paths below the folder by the name of their split, 'train' first;
      all of them under '' where none is said.
    descriptions: names of JSON files that are left out, as they are no data.
  """

  splits: Mapping[str, Sequence[str]]
  descriptions: tuple[str, ...] = ()


def notes(descriptions: Iterable[str]) -> tuple[str, ...]:
  """A sentence on each file that is left out."""
  return tuple(
    f'{name}: a single JSON object, not read as data; name the file to read it'
    for name in descriptions
  )


def find(folder: pathlib.Path, pattern: str = '*') -> FolderFiles:
  """The data of a folder, of the files whose names fit a pattern.

  Raises:
    DataError: as of `arrow.saved`; or a file cannot be read.
  """
  if pattern == '*':
    if saved := arrow.saved(folder):
      return FolderFiles(saved)
    if not _files(folder, '*') and _files(folder / DATA, '*'):
      pattern = f'{DATA}/*'
  names = _files(folder, pattern)
  descriptions = [name for name in names if _is_object(folder / name)]
  if len(descriptions) == len(names):
    descriptions = []
  data = [name for name in names if name not in descriptions]
  return FolderFiles(by_split(data) if data else {}, tuple(descriptions))


def _files(folder: pathlib.Path, pattern: str) -> list[str]:
  """Paths below a folder; a file beside what it was packed into is one."""
  found = {
    packed.unpacked(path): path.relative_to(folder).as_posix()
    for path in sorted(folder.glob(pattern))
    if path.is_file() and path.name.endswith(READ)
  }
  return list(found.values())


def by_split(names: Sequence[str]) -> dict[str, list[str]]:
  """Files by the split that their names say, where all of them say one.

  Otherwise, and where none or all are of 'train', all of them under ''.
  """
  found: dict[str, list[str]] = {split: [] for split in WORDS}
  for name in names:
    said = _split(pathlib.PurePath(name).name)
    if said is None:
      return {'': list(names)}
    found[said].append(name)
  made = {split: own for split, own in found.items() if own}
  return made if TRAIN in made and len(made) > 1 else {'': list(names)}


def _split(name: str) -> str | None:
  """The split that a file's name says, if it says just one."""
  words = set(re.findall('[a-z]+', name.lower()))
  said = [split for split, known in WORDS.items() if words & {*known}]
  return said[0] if len(said) == 1 else None


def _is_object(path: pathlib.Path) -> bool:
  """Whether a .json file is one object, and so neither lines nor an array."""
  if packed.unpacked(path).suffix != '.json':
    return False
  packing = packed.of(path)
  try:
    with packing.open(path) as file:
      first = file.readline()
      if not first.lstrip().startswith(b'{'):
        return False
      try:
        json.loads(first)
      except ValueError:
        json.loads(first + file.read())
        return True
      return not any(line.strip() for line in file)
  except (OSError, ImportError, ValueError, RecursionError, *packing.faults):
    return False  # Whoever reads it says what is wrong with it.
