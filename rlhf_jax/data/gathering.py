"""What a reader returns: records, and notes of how they came about."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from rlhf_jax.data.jsonl import DataError
from rlhf_jax.types import Record


class Records(list):
  """The records of a file, or of several.

  Attributes:
    notes: what a person should know of the reading, a sentence each: as what a
      file was read, and what was left out of it.
  """

  def __init__(self, records: Iterable[Any] = (), notes: Iterable[str] = ()):
    super().__init__(records)
    self.notes = tuple(notes)


class LeftOut(NamedTuple):
  """What a file holds and nothing can be learnt from.

  Attributes:
    where: its file and line.
    reason: why, as a clause.
  """

  where: str
  reason: str


SAME_TEXT = 'the responses are the same text'


def gather(found: Iterable[Record | LeftOut]) -> Records:
  """The records among what was found; the rest is counted in notes.

  Raises:
    DataError: everything was left out.
  """
  kept, places = [], {}
  for one in found:
    if isinstance(one, LeftOut):
      places.setdefault(one.reason, []).append(one.where)
    else:
      kept.append(one)
  total = len(kept) + sum(map(len, places.values()))
  notes = [
    f'{len(wheres)} of {total} left out: {reason} (first at {wheres[0]})'
    for reason, wheres in places.items()
  ]
  if notes and not kept:
    raise DataError(
      f'{"; ".join(notes)}; nothing is left to learn from, give other data.'
    )
  return Records(kept, notes)
