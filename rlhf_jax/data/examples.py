"""A record with its ids, wherever the record itself is."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlhf_jax.types import Prompt, Record, prompt_of


class Stored(NamedTuple):
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
    features: [K, D] hidden states of the responses' ends, likewise.
  """

  held: Record | Stored
  prompt_ids: list[int]
  response_ids: tuple[list[int], ...]
  index: int
  target_ids: list[int] | None = None
  reference_logps: tuple[float, ...] | None = None
  features: np.ndarray | None = None

  @property
  def record(self) -> Record:
    """The record, which is read where it is on disk."""
    if isinstance(self.held, Stored):
      return self.held.records[self.held.place]
    return self.held

  @property
  def kind(self) -> type:
    """The class of the record."""
    held = self.held
    return held.kind if isinstance(held, Stored) else type(held)

  @property
  def prompt(self) -> Prompt:
    """What was asked."""
    return prompt_of(self.record)

  @property
  def length(self) -> int:
    """Tokens of the prompt and its longest response."""
    said = [*self.response_ids, self.target_ids or []]
    return len(self.prompt_ids) + max(map(len, said))


class Changed(Sequence[Example]):
  """Examples with more beside their ids, which is put there when asked for."""

  def __init__(
    self, examples: Sequence[Example], change: Callable[[Example], Example]
  ):
    """`change` leaves ids, index and record as they are."""
    self._examples, self._change = examples, change
    self.lengths, self.indices = lengths(examples), indices(examples)
    self.candidates, self.weights = candidates(examples), weights(examples)

  def __len__(self) -> int:
    return len(self._examples)

  def __getitem__(self, place: int | slice) -> Any:
    found = self._examples[place]
    if isinstance(place, slice):
      return list(map(self._change, found))
    return self._change(found)


def lengths(examples: Sequence[Example]) -> np.ndarray:
  """[N] `length` of each example, kept beside them or counted."""
  return _column(examples, 'lengths', lambda example: example.length)


def indices(examples: Sequence[Example]) -> np.ndarray:
  """[N] `index` of each example, likewise."""
  return _column(examples, 'indices', lambda example: example.index)


def candidates(examples: Sequence[Example]) -> np.ndarray:
  """[N] how many responses each example has, likewise."""
  return _column(examples, 'candidates', lambda e: len(e.response_ids))


def weights(examples: Sequence[Example]) -> np.ndarray:
  """[N] the weight of each example's record, likewise; 1 where it has none."""
  return _column(examples, 'weights', lambda e: getattr(e.held, 'weight', 1.0))


def _column(examples, name, of):
  kept = getattr(examples, name, None)
  return np.array([*map(of, examples)]) if kept is None else kept
