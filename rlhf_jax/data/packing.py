"""Several short demonstrations in one row, so that less of a row is padding."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.data import examples as columns
from rlhf_jax.data.examples import Example
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.sequences import OnDemand


class Pack(NamedTuple):
  """Examples that share a row, in order.

  Attributes:
    examples: the row's.
    row_length: tokens that the row holds.
  """

  examples: tuple[Example, ...]
  row_length: int

  @property
  def length(self) -> int:
    """Tokens of its examples together."""
    return sum(example.length for example in self.examples)


class Packs(OnDemand[Pack]):
  """Rows of examples, each made when it is asked for.

  Attributes:
    lengths: [N] tokens of each row's examples together.
  """

  def __init__(
    self,
    examples: Sequence[Example],
    rows: Sequence[Sequence[int]],
    row_length: int,
  ):
    """Of examples, those at the places of each row."""
    self._examples, self._rows, self._row_length = examples, rows, row_length
    every = columns.lengths(examples)
    self.lengths = np.array([every[row].sum() for row in rows], np.int64)

  def __len__(self) -> int:
    return len(self._rows)

  def at(self, place: int) -> Pack:
    row = self._rows[place]
    return Pack(tuple(self._examples[i] for i in row), self._row_length)


def pack(examples: Sequence[Example], row_length: int) -> Packs:
  """Puts the longest example first, each where least room is left (best-fit).

  Args:
    examples: those of a length keep their order.
    row_length: tokens that a row holds.

  Returns:
    Rows, with each example whole and in one of them.

  Raises:
    DataError: an example with a weight of its own, or longer than a row.
  """
  lengths, weights = columns.lengths(examples), columns.weights(examples)
  index = columns.indices(examples)
  for place in np.flatnonzero((weights != 1.0) | (lengths > row_length))[:1]:
    if weights[place] != 1.0:
      raise DataError(
        f'record {index[place]} has weight {weights[place]:g}, and '
        'demonstrations of different weights cannot share a row; leave them '
        'unpacked.'
      )
    raise DataError(
      f'record {index[place]} has {lengths[place]} tokens and a row holds '
      f'{row_length}; pack into longer rows, or lower the limits.'
    )
  rows: list[list[int]] = []
  open_rows: list[list[int]] = [[] for _ in range(row_length + 1)]  # By room.
  rooms = 0  # Bit n: there is a row with room for n tokens.
  for place in np.argsort(-lengths, kind='stable').tolist():
    length = int(lengths[place])
    fitting = rooms >> length
    if fitting:
      room = length + (fitting & -fitting).bit_length() - 1
      row = open_rows[room].pop()
    else:
      room, row = row_length, len(rows)
      rows.append([])
    if not open_rows[room]:
      rooms &= ~(1 << room)
    rows[row].append(place)
    left = room - length
    open_rows[left].append(row)
    rooms |= 1 << left
  return Packs(examples, rows, row_length)
