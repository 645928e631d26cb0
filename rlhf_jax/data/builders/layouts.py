"""Which files of a folder make which split of a dataset, and reading them."""

import array
import contextlib
import dataclasses
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.data import kept_records, packed, sequences, splits
from rlhf_jax.data.files import opened
from rlhf_jax.data.folders import READ
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.kept_records import KeptRecords
from rlhf_jax.data.names import listed
from rlhf_jax.data.readers import Records, Stream
from rlhf_jax.data.splits import TEST, TRAIN
from rlhf_jax.types import Prompt, Record, prompt_of

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
      records by split. Of one that has a `stream`, that is read.
  """

  parts: tuple[Part, ...]
  read: Callable[[pathlib.Path], Records | Mapping[str, Records | Stream]]

  def files(self, folder: pathlib.Path) -> list[tuple[pathlib.Path, Part]]:
    """The files that are there, each with its part.

    One that lies beside what it was packed into is read once.
    """
    found = {
      packed.unpacked(path): (path, part)
      for part in self.parts
      for path in sorted(folder.glob(part.pattern))
      if path.is_file() and path.name.endswith(READ)
    }
    return list(found.values())

  def notes(self, folder: pathlib.Path) -> tuple[str, ...]:
    """On files of it that are not in a folder, for a person."""
    missing = [p.pattern for p in self.parts if not [*folder.glob(p.pattern)]]
    return (f'not there: {listed(missing)}',) if missing else ()


class FolderRecords(NamedTuple):
  """What was read of a folder.

  Attributes:
    splits: records by the name of their split, the training one first; they are
      on disk, and read when they are asked for.
    notes: for a person, on the files and the splits.
    on_both_sides: how many openings of the other splits are trained on too.
  """

  splits: Mapping[str, Sequence[Record]]
  notes: tuple[str, ...]
  on_both_sides: int


# Whose items are read one by one: for the progress of long reading.
Tracked = Callable[[Sequence[tuple[pathlib.Path, Part]]], Iterator]


def first_there(
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
  folder: pathlib.Path,
  layout: Layout,
  place: pathlib.Path,
  tracked: Tracked = iter,
) -> FolderRecords:
  """Reads the files of a layout, a record at a time, and splits the records.

  Published splits are kept. Without any, or of the training split alone, a hash
  of what is said first holds out HELD_OUT of the openings.

  The records are kept in `place`, a folder that is not there.
  """
  reading = _Reading(folder, layout, tracked)
  kept_records.write(place, reading.records(), reading.notes)
  records = KeptRecords(place)
  notes = [*reading.notes, *layout.notes(folder)]
  found = reading.split(records)
  if '' in found or found.keys() == {TRAIN}:
    found = _by_hash(records)
    notes.append(
      'no held-out split is published or there: split by a hash of what is '
      'said first'
    )
  training = found.pop(TRAIN, ())
  both = splits.on_both_sides(training, sequences.Chained([*found.values()]))
  made = ({TRAIN: training} if training else {}) | found
  return FolderRecords(made, tuple(dict.fromkeys(notes)), both)


class _Reading:
  """The records of a folder, one after the other, and what they are of.

  Attributes:
    notes: on the files that were read.
  """

  def __init__(self, folder: pathlib.Path, layout: Layout, tracked: Tracked):
    self._folder, self._layout, self._tracked = folder, layout, tracked
    self._names: list[str] = []  # Of splits.
    self._places = array.array('B')  # Of each record, its split's among them.
    self.notes: list[str] = []

  def records(self) -> Iterator[Record]:
    """Reads the files."""
    for path, part in self._tracked(self._layout.files(self._folder)):
      with _below(self._folder, path):
        given = opened(self._layout.read, path)
        by_split = given if isinstance(given, Mapping) else {part.split: given}
        for split, found in by_split.items():
          if split not in self._names:
            self._names.append(split)
          place = self._names.index(split)
          for record in found:
            self._places.append(place)
            yield _placed(record, self._folder, path, part.kind)
          self.notes += (_path(n, self._folder, path) for n in found.notes)

  def split(self, records: Sequence[Record]) -> dict[str, Sequence[Record]]:
    """Those that were read, by the split that they are of."""
    places = np.array(self._places)
    return {
      name: sequences.Selected(records, np.flatnonzero(places == place))
      for place, name in enumerate(self._names)
    }


def _by_hash(records: Sequence[Record]) -> dict[str, Sequence[Record]]:
  training, held_out = splits.split(records, HELD_OUT)
  splits.check_sides(training, held_out, f'{len(records)} records')
  return {TRAIN: training, TEST: held_out}


@contextlib.contextmanager
def _below(folder: pathlib.Path, path: pathlib.Path) -> Iterator[None]:
  """Has an error name a file's path below the folder, not its name alone."""
  try:
    yield
  except DataError as error:
    raise DataError(_path(str(error), folder, path)) from error


def _placed(
  record: Record, folder: pathlib.Path, path: pathlib.Path, kind: str
) -> Record:
  """A record whose prompt says the file's path below the folder, and a kind."""
  prompt = prompt_of(record)
  prompt = prompt._replace(
    where=_path(prompt.where, folder, path), kind=prompt.kind or kind
  )
  alone = isinstance(record, Prompt)
  return prompt if alone else record._replace(prompt=prompt)


def _path(said: str, folder: pathlib.Path, path: pathlib.Path) -> str:
  """A text that names a place in a file, with its path below the folder."""
  full = str(path.relative_to(folder))
  return re.sub(
    rf'(?<![/\w]){re.escape(path.name)}:', lambda _: f'{full}:', said
  )
