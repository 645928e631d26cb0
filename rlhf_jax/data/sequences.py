"""Sequences whose items are read, or made, when they are asked for.

A sequence of records that are kept on disk has a `fingerprint`, which changes
when its content does; so have Chained and Selected records, where all that they
are made of has one.
"""

import abc
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from rlhf_jax.addressing import hashed
from rlhf_jax.types import Record

Item = TypeVar('Item')


class OnDemand(Sequence[Item]):
  """A sequence of a length and a function, `at`, of a place."""

  @abc.abstractmethod
  def at(self, place: int) -> Item:
    """The item at a place, from 0 to below the length."""

  def __getitem__(self, place: int | slice) -> Any:
    places = range(len(self))[place]
    if isinstance(places, range):
      return [self.at(each) for each in places]
    return self.at(places)


def fingerprint(records: Sequence[Record]) -> str | None:
  """Of records that are kept on disk; None of others."""
  return getattr(records, 'fingerprint', None)


def column(records: Sequence[Record], name: str) -> np.ndarray | None:
  """[N] a number of every record, where it is kept beside them."""
  found = getattr(records, 'column', None)
  return None if found is None else found(name)


class Chained(OnDemand[Record]):
  """Several sequences, one after the other."""

  def __init__(self, parts: Sequence[Sequence[Record]]):
    self._parts = parts
    self._ends = np.cumsum([len(part) for part in parts])

  @property
  def fingerprint(self) -> str | None:
    found = list(map(fingerprint, self._parts))
    return None if None in found else '+'.join(found)

  def __len__(self) -> int:
    return int(self._ends[-1]) if self._parts else 0

  def at(self, place: int) -> Record:
    number = int(np.searchsorted(self._ends, place, side='right'))
    return self._parts[number][place - int(self._ends[number])]

  def column(self, name: str) -> np.ndarray | None:
    """As of the function."""
    found = [column(part, name) for part in self._parts]
    if not found or any(one is None for one in found):
      return None
    return np.concatenate(found)


class Selected(OnDemand[Record]):
  """Some records of a sequence, perhaps changed."""

  def __init__(
    self,
    records: Sequence[Record],
    places: np.ndarray,
    change: Callable[[Record], Record] | None = None,
    said: str = '',
  ):
    """Of `records`, those at [N] `places`, in their order.

    Args:
      change: what becomes of each; None leaves them as they are.
      said: tells the change from others.
    """
    self._records, self._places, self._change = records, places, change
    self._said = said

  @property
  def fingerprint(self) -> str | None:
    found = fingerprint(self._records)
    if found is None:
      return None
    return f'{found}[{hashed(self._places.tobytes())[:24]}]{self._said}'

  def __len__(self) -> int:
    return len(self._places)

  def at(self, place: int) -> Record:
    record = self._records[int(self._places[place])]
    return record if self._change is None else self._change(record)

  def column(self, name: str) -> np.ndarray | None:
    """As of the function; of the records before they are changed."""
    found = column(self._records, name)
    return None if found is None else found[self._places]
