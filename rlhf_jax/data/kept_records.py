"""The records of a source, kept on disk as they are read from its files.

Beside a line for each record are numbers that say where it belongs, so that a
dataset is split without its texts.
"""

import json
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from rlhf_jax.data import splits
from rlhf_jax.data.numbers_on_disk import Column, Numbers
from rlhf_jax.data.record_lines import Lines, row
from rlhf_jax.storage import files, seals
from rlhf_jax.types import Record, prompt_of, responses_of

FACTS = np.dtype(
  [
    ('opening', '<u8'),  # As of splits.
    ('conversation', '<u8'),  # Likewise.
    ('margin', '<f8'),
    ('responses', '<u4'),  # How many there are.
  ]
)
LINES, NUMBERS, NOTES = 'records.jsonl', 'numbers', 'notes.json'


class KeptRecords(Lines):
  """The records of a folder.

  Attributes:
    notes: on how they were read, for a person.
  """

  def __init__(self, folder: pathlib.Path):
    """Of a folder that `write` wrote.

    Raises:
      DamagedError: it is not what was written.
    """
    seals.verify(folder, delete=folder)
    super().__init__(folder / LINES, folder.name)
    self.notes = tuple(seals.read_json(folder / NOTES, delete=folder)['notes'])
    self._numbers = Numbers(folder / NUMBERS, FACTS)

  def column(self, name: str) -> np.ndarray:
    """[N] one of FACTS of every record."""
    return self._numbers.column(name)


def write(
  folder: pathlib.Path, records: Iterable[Record], notes: Sequence[str]
) -> None:
  """Writes records as they come, whole or not at all.

  Args:
    folder: is not there.
    records: of one kind.
    notes: read once the records have been.
  """
  with seals.new_folder(folder) as unfinished:
    with (
      (unfinished / LINES).open('w', encoding='utf-8') as lines,
      Column(unfinished / NUMBERS, FACTS) as numbers,
    ):
      for record in records:
        where = {'where': prompt_of(record).where}
        lines.write(json.dumps(row(record) | where) + '\n')
        numbers.add([facts(record)])
    files.write_json(unfinished / NOTES, {'notes': list(notes)})


def facts(record: Record) -> tuple[int, int, float, int]:
  """FACTS of a record."""
  margin, said = getattr(record, 'margin', 0.0), responses_of(record)
  return splits.opening(record), splits.conversation(record), margin, len(said)
