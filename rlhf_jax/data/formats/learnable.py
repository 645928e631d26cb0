"""Which records of a file can be learnt from, and what it was read as."""

from collections.abc import Iterable, Iterator, Sequence

from rlhf_jax.data import fields, names
from rlhf_jax.data.readers import SAME_TEXT, LeftOut, Stream
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Rated,
  Record,
  prompt_of,
  responses_of,
)


class Learnable(Stream):
  """The records of rows that something can be learnt from.

  Attributes:
    notes: the format that they were read as comes first.
  """

  def __init__(
    self,
    found: Iterable[Record | LeftOut],
    file: str,
    form: str,
    unread: Sequence[str],
  ):
    """Of what is found in a file of a format, some columns of it unread."""
    super().__init__(map(_learnable, found))
    self._file, self._form, self._unread = file, form, unread

  def __iter__(self) -> Iterator[Record]:
    """As of Stream."""
    total, first, alone = 0, None, True
    for record in super().__iter__():
      total += 1
      first = record if first is None else first
      alone = alone and len(responses_of(record)) == 1
      yield record
    read = f'{self._file}: read as {self._form}, {total} {_kind(first, alone)}'
    if self._unread:
      read += f'; not read: {names.listed(self._unread)}'
    self.notes = (read, *(f'{self._file}: {n}' for n in self.notes))


def _learnable(record: Record | LeftOut) -> Record | LeftOut:
  """The record, or why nothing can be learnt from it."""
  if isinstance(record, LeftOut):
    return record
  responses = responses_of(record)
  if len(responses) > 1 and len(set(responses)) == 1:
    return LeftOut(prompt_of(record).where, SAME_TEXT)
  for place, text in enumerate(responses):
    if not fields.visible(text):
      name = 'the response'
      if len(responses) == 2:
        name = ('the chosen', 'the rejected')[place] + ' response'
      return LeftOut(prompt_of(record).where, f'{name} is empty')
  return record


def _kind(first: Record | None, alone: bool) -> str:
  """What records are, in words; `alone` if each has a single response."""
  match first:
    case Comparison():
      return 'labelled responses' if alone else 'comparisons'
    case Demonstration():
      return 'demonstrations'
    case Rated():
      return 'rated responses'
  return 'prompts'
