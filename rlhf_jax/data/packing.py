"""Several short demonstrations in one row, so that less of a row is padding."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.data.examples import Example
from rlhf_jax.data.jsonl import DataError


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


def pack(examples: Sequence[Example], row_length: int) -> list[Pack]:
  """Puts the longest example first, each where least room is left (best-fit).

  Args:
    examples: those of a length keep their order.
    row_length: tokens that a row holds.

  Returns:
    Rows, with each example whole and in one of them.

  Raises:
    DataError: an example with a weight of its own, or longer than a row.
  """
  for example in examples:
    if example.held.weight != 1.0:
      raise DataError(
        f'record {example.index} has weight {example.held.weight:g}, and '
        'demonstrations of different weights cannot share a row; leave them '
        'unpacked.'
      )
    if example.length > row_length:
      raise DataError(
        f'record {example.index} has {example.length} tokens and a row holds '
        f'{row_length}; pack into longer rows, or lower the limits.'
      )
  rows: list[list[Example]] = []
  open_rows: list[list[int]] = [[] for _ in range(row_length + 1)]  # By room.
  rooms = 0  # Bit n: there is a row with room for n tokens.
  for place in np.argsort([-e.length for e in examples], kind='stable'):
    example = examples[place]
    fitting = rooms >> example.length
    if fitting:
      room = example.length + (fitting & -fitting).bit_length() - 1
      row = open_rows[room].pop()
    else:
      room, row = row_length, len(rows)
      rows.append([])
    if not open_rows[room]:
      rooms &= ~(1 << room)
    rows[row].append(example)
    left = room - example.length
    open_rows[left].append(row)
    rooms |= 1 << left
  return [Pack(tuple(row), row_length) for row in rows]
