"""How long the texts of a dataset are, and how lengths spread."""

import collections
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.data.encoding import Example
from rlhf_jax.types import Record, prompt_of, responses_of


class Lengths(NamedTuple):
  """Of prompts, of responses, and of a prompt with its longest response.

  Attributes:
    prompts: [N] of the records.
    responses: [M] of all their responses.
    both: [N].
  """

  prompts: np.ndarray
  responses: np.ndarray
  both: np.ndarray


def text_lengths(
  records: Sequence[Record], measure: Callable[[str], int]
) -> Lengths:
  """Lengths in the unit of a measure, such as `len` or `words`."""
  asked = [
    sum(measure(message.content) for message in prompt_of(record).messages)
    for record in records
  ]
  said = [[measure(text) for text in responses_of(r)] for r in records]
  return lengths_of(asked, said)


def token_lengths(examples: Sequence[Example]) -> Lengths:
  """Lengths in tokens; a response's end-of-text is one of its own."""
  return lengths_of(
    [len(example.prompt_ids) for example in examples],
    [[len(ids) for ids in example.response_ids] for example in examples],
  )


def lengths_of(
  prompts: Sequence[int], responses: Sequence[Sequence[int]]
) -> Lengths:
  """Lengths of N prompts, and of the responses to each."""
  pairs = zip(prompts, responses, strict=True)
  return Lengths(
    np.array(prompts, int),
    np.array([n for said in responses for n in said], int),
    np.array([asked + max(said, default=0) for asked, said in pairs], int),
  )


def words(text: str) -> int:
  """How many words a text has, by the spaces between them."""
  return len(text.split())


class Spread(NamedTuple):
  """How numbers spread: their mean, and how much the quantiles are."""

  mean: float
  least: float
  lower_quarter: float
  median: float
  upper_quarter: float
  largest_twentieth: float
  most: float


def spread(numbers: np.ndarray) -> Spread:
  """The mean of one number or more, and their quantiles."""
  at = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
  return Spread(float(np.mean(numbers)), *np.quantile(numbers, at).tolist())


class Bin(NamedTuple):
  """How many lengths lie from `low` to `high`, both included."""

  low: int
  high: int
  count: int


def histogram(lengths: np.ndarray) -> list[Bin]:
  """Bins that double in width: 0, 1, 2, 3 to 4, 5 to 8, 9 to 16 …

  From the bin of the least length to that of the largest; [] of none.
  """
  numbers = [n and (n - 1).bit_length() + 1 for n in lengths.tolist()]
  counts = collections.Counter(numbers)
  return [
    Bin(*_bounds(number), counts[number])
    for number in range(min(numbers, default=0), max(numbers, default=-1) + 1)
  ]


def _bounds(number: int) -> tuple[int, int]:
  if number < 2:
    return number, number
  return 2 ** (number - 2) + 1, 2 ** (number - 1)


class Longer(NamedTuple):
  """How many are longer than a limit: prompts, responses, both together."""

  limit: int
  prompts: int
  responses: int
  both: int


def longer_than(found: Lengths, limit: int) -> Longer:
  """How many a limit would cut."""
  return Longer(limit, *(int((numbers > limit).sum()) for numbers in found))
