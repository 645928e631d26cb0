"""A record with its ids, wherever the record itself is."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlhf_jax.data.sequences import OnDemand
from rlhf_jax.types import Prompt, Record, prompt_of


class StoredRecord(NamedTuple):
  """A record that is kept on disk, and its numbers; its texts are read there.

  Attributes:
    records: those of its dataset.
    place: its own among them.
    kind: its class.
    weight: as of a Demonstration or a Comparison.
    margin: as of a Comparison.
    scores: likewise.
    ratings: as of a Rated.
  """

  records: Sequence[Record]
  place: int
  kind: type
  weight: float = 1.0
  margin: float = 0.0
  scores: tuple[float, ...] | None = None
  ratings: tuple[float | None, ...] = ()


class Example(NamedTuple):
  """A record with its ids.

  Attributes:
    held: the record, or where it is; either has the record's numbers.
    prompt_ids: up to where the response begins.
    response_ids: none of a prompt, one of a demonstration or of a rated
      response, K of a comparison or of samples; each closed by
      end-of-text unless it was cut.
    index: the record's place in its dataset.
    target_ids: the comparison's target, likewise, where it has one.
    reference_logps: of the responses under a frozen reference, in nats, where
      they were computed beforehand.
    features: [K, D] what a reward model's head reads of them, likewise.
  """

  held: Record | StoredRecord
  prompt_ids: list[int]
  response_ids: tuple[list[int], ...]
  index: int
  target_ids: list[int] | None = None
  reference_logps: tuple[float, ...] | None = None
  features: np.ndarray | None = None

  @property
  def record(self) -> Record:
    """The record, which is read where it is on disk."""
    if isinstance(self.held, StoredRecord):
      return self.held.records[self.held.place]
    return self.held

  @property
  def kind(self) -> type:
    """The class of the record."""
    held = self.held
    return held.kind if isinstance(held, StoredRecord) else type(held)

  @property
  def prompt(self) -> Prompt:
    """What was asked."""
    return prompt_of(self.record)

  @property
  def length(self) -> int:
    """Tokens of the prompt and its longest response."""
    said = [*self.response_ids, self.target_ids or []]
    return len(self.prompt_ids) + max(map(len, said))


class With(OnDemand[Example]):
  """Examples, each with another value of one field.

  Attributes:
    examples: as they were.
  """

  def __init__(
    self, examples: Sequence[Example], field: str, values: Sequence[Any]
  ):
    """Of N examples, the field's name and N values."""
    self.examples, self._field, self._values = examples, field, values

  def __len__(self) -> int:
    return len(self.examples)

  def at(self, place: int) -> Example:
    changed = {self._field: self._values[place]}
    return self.examples[place]._replace(**changed)


def records(examples: Sequence[Example]) -> Iterator[Record]:
  """`record` of each example; of those on disk without their ids."""
  if isinstance(examples, With):
    return records(examples.examples)
  if hasattr(examples, 'records'):
    return examples.records
  return (example.record for example in examples)


def lengths(examples: Sequence[Example]) -> np.ndarray:
  """[N] `length` of each example; known of those on disk without their ids."""
  return _column(examples, 'length', lambda e: e.length)


def indices(examples: Sequence[Example]) -> np.ndarray:
  """[N] `index` of each, likewise."""
  return _column(examples, 'index', lambda e: e.index)


def candidates(examples: Sequence[Example]) -> np.ndarray:
  """[N] how many responses each has, likewise."""
  return _column(examples, 'responses', lambda e: len(e.response_ids))


def weights(examples: Sequence[Example]) -> np.ndarray:
  """[N] `weight` of each record, likewise; 1 of those that have none."""
  return _column(
    examples, 'weight', lambda e: getattr(e.held, 'weight', 1.0), np.float64
  )


def _column(
  examples: Sequence[Example],
  name: str,
  number: Callable[[Example], float],
  dtype: type = np.int32,
) -> np.ndarray:
  """A number of each, by the name that it has where they are on disk."""
  if isinstance(examples, With):
    return _column(examples.examples, name, number, dtype)
  if hasattr(examples, 'column'):
    return examples.column(name)
  return np.fromiter(map(number, examples), dtype, len(examples))
