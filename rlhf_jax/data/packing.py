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
  """Puts every example into the first row that has room for it (first-fit).

  Args:
    examples: in the order in which they look for room.
    row_length: tokens that a row holds.

  Returns:
    Rows, with each example whole and in one of them.

  Raises:
    DataError: an example with a weight of its own.
  """
  for example in examples:
    if example.held.weight != 1.0:
      raise DataError(
        f'record {example.index} has weight {example.held.weight:g}, and '
        'demonstrations of different weights cannot share a row; leave them '
        'unpacked.'
      )
  rows: list[list[Example]] = []
  room = np.full(len(examples), row_length)  # Of rows not yet begun, too.
  for example in examples:
    if example.length > row_length:
      raise DataError(
        f'record {example.index} has {example.length} tokens and a row holds '
        f'{row_length}; pack into longer rows, or lower the limits.'
      )
    row = int(np.argmax(room >= example.length))
    if row == len(rows):
      rows.append([])
    rows[row].append(example)
    room[row] -= example.length
  return [Pack(tuple(row), row_length) for row in rows]
