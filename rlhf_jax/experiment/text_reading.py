"""Reward models that read what policies wrote as text."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlhf_jax.data.encoding import Example
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.types import Comparison, Prompt

MOST_ROWS = 256  # Prompts sampled from or responses scored at a time.


class TextReward:
  """A reward model that a stage trained, or an ensemble, as a Reward.

  What policies were conditioned on it does not see.

  Attributes:
    name: of its stages, as reports have it.
  """

  def __init__(self, name: str, data: Data, score: Callable[[Any], Any]):
    """`score` gives the scores [B, 1] of Comparisons [B, 1, T] of `data`."""
    self.name, self._data, self._score = name, data, score

  def __call__(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> np.ndarray:
    """[N] scores of N responses, in the units of the model."""
    asked = [
      Comparison(prompt._replace(condition=''), (response,))
      for prompt, response in zip(prompts, responses, strict=True)
    ]
    examples, _ = self._data.encode_all(asked)
    rows = self._data.at_a_time(rows_for(len(asked), MOST_ROWS), 1)
    return of_batches(self._score, self._data, examples, rows)[:, 0]


def of_batches(
  function: Callable[[Any], Any],
  data: Data,
  examples: Sequence[Example],
  rows: int,
) -> np.ndarray:
  """`function` of batches of `rows` examples, an array's row for each."""
  found = []
  for first in range(0, len(examples), rows):
    some = examples[first : first + rows]
    found.append(np.asarray(function(data.batch(some, rows)))[: len(some)])
  return np.concatenate(found)


def rows_for(count: int, most: int) -> int:
  """Rows for `count` of them, from few sizes: each is compiled once."""
  return min(most, max(8, 1 << (count - 1).bit_length()))
