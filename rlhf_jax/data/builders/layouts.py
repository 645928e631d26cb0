"""Which files of a folder make which split of a dataset, and reading them."""

import contextlib
import dataclasses
import itertools
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rlhf_jax.data import splits
from rlhf_jax.data.folders import READ
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.names import listed
from rlhf_jax.data.readers import Records
from rlhf_jax.types import Prompt, Record, prompt_of

TRAIN, TEST = 'train', 'test'
HELD_OUT = 0.1  # Of the openings, where no split is published.


class Part(NamedTuple):
  """Files that make a split, or a part of one.

  Attributes:
    pattern: of their paths below the folder, as of `pathlib.Path.glob`.
    split: as it was published; '' where it was not, or where rows say it.
    kind: of prompts of which the file itself says no kind.
  """

  pattern: str
  split: str = ''
  kind: str = ''


@dataclasses.dataclass(frozen=True)
class Layout:
  """How a folder holds a dataset.

  Attributes:
    parts: its files; those that are there are read.
    read: path -> records, a reader of files; or, where rows say their split,
      records by split.
  """

  parts: tuple[Part, ...]
  read: Callable[[pathlib.Path], Records | Mapping[str, Records]]

  def files(self, folder: pathlib.Path) -> list[tuple[pathlib.Path, Part]]:
    """The files that are there, each with its part.

    One that lies beside its gzipped copy is read once.
    """
    found = {
      str(path).removesuffix('.gz'): (path, part)
      for part in self.parts
      for path in sorted(folder.glob(part.pattern))
      if path.is_file() and path.name.endswith(READ)
    }
    return list(found.values())


class Found(NamedTuple):
  """What was read of a folder.

  Attributes:
    splits: records by the name of their split, the training one first.
    notes: for a person, on the files and the splits.
    on_both_sides: how many openings of the other splits are trained on too.
  """

  splits: Mapping[str, Sequence[Record]]
  notes: tuple[str, ...]
  on_both_sides: int


# Whose items are read one by one: for the progress of long reading.
Tracked = Callable[[Sequence[tuple[pathlib.Path, Part]]], Iterator]


def fitting(
  folder: pathlib.Path, layouts: Sequence[Layout], wanted: str
) -> Layout:
  """The first layout of which files are in a folder.

  Raises:
    DataError: there are none, saying what is wanted.
  """
  for layout in layouts:
    if layout.files(folder):
      return layout
  if not folder.is_dir():
    raise DataError(f'there is no folder {folder}; {wanted}')
  there = listed(sorted(p.name for p in folder.iterdir())) or 'nothing'
  raise DataError(f'{folder} holds {there}; {wanted}')


def read(
  folder: pathlib.Path, layout: Layout, tracked: Tracked = iter
) -> Found:
  """Reads the files of a layout and splits their records.

  Published splits are kept. Without any, or of the training split alone, a hash
  of what is said first holds out HELD_OUT of the openings.
  """
  found: dict[str, list[Record]] = {}
  notes = []
  for path, part in tracked(layout.files(folder)):
    with _below(folder, path):
      given = layout.read(path)
    by_split = given if isinstance(given, Mapping) else {part.split: given}
    for split, records in by_split.items():
      placed = _placed(records, folder, path, part.kind)
      found.setdefault(split, []).extend(placed)
      notes += placed.notes
  missing = [p.pattern for p in layout.parts if not [*folder.glob(p.pattern)]]
  if missing:
    notes.append(f'not there: {listed(missing)}')
  if '' in found or found.keys() == {TRAIN}:
    found = _by_hash([one for split in found.values() for one in split])
    notes.append(
      'no held-out split is published or there: split by a hash of what is '
      'said first'
    )
  training = found.pop(TRAIN, [])
  both = splits.on_both_sides(
    training, itertools.chain.from_iterable(found.values())
  )
  made = ({TRAIN: training} if training else {}) | found
  return Found(made, tuple(dict.fromkeys(notes)), both)


def _by_hash(records: Sequence[Record]) -> dict[str, list[Record]]:
  training, held_out = splits.split(records, HELD_OUT)
  if not training or not held_out:
    raise DataError(
      f'of {len(records)} records {len(training)} are left to train on and '
      f'{len(held_out)} to test on; give more of them.'
    )
  return {TRAIN: training, TEST: held_out}


@contextlib.contextmanager
def _below(folder: pathlib.Path, path: pathlib.Path) -> Iterator[None]:
  """Has an error name a file's path below the folder, not its name alone."""
  try:
    yield
  except DataError as error:
    raise DataError(_path(str(error), folder, path)) from error


def _placed(
  records: Records, folder: pathlib.Path, path: pathlib.Path, kind: str
) -> Records:
  """Records whose prompts say the file's path below the folder, and a kind."""
  made = []
  for record in records:
    prompt = prompt_of(record)
    prompt = prompt._replace(
      where=_path(prompt.where, folder, path), kind=prompt.kind or kind
    )
    alone = isinstance(record, Prompt)
    made.append(prompt if alone else record._replace(prompt=prompt))
  return Records(made, [_path(note, folder, path) for note in records.notes])


def _path(said: str, folder: pathlib.Path, path: pathlib.Path) -> str:
  """A text that names a place in a file, with its path below the folder."""
  full = str(path.relative_to(folder))
  return re.sub(
    rf'(?<![/\w]){re.escape(path.name)}:', lambda _: f'{full}:', said
  )
