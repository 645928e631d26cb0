"""What models read of text, in batches; reward models that do so as Rewards."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlhf_jax import processes
from rlhf_jax.data.encoding import Example
from rlhf_jax.experiment.datasets import Data
from rlhf_jax.experiment.definition import ExperimentError
from rlhf_jax.models import mean_of_tokens
from rlhf_jax.types import Comparison, Prompt

MOST_ROWS = 256  # Prompts sampled from or responses scored at a time.


class TextReward:
  """A reward model, or an ensemble of them, as a Reward that reads text.

  Here text becomes scores, whosever the parameters are: those of a run's stages
  (`Run.scored_by`), or those of a folder alone (`PretrainedReward`). What
  policies were conditioned on it does not see.

  Attributes:
    name: of the model, as reports have it.
  """

  def __init__(
    self,
    name: str,
    data: Data,
    score: Callable[[Any], Any],
    longest: int | None = None,
  ):
    """Of a model that reads the ids of `data`.

    Args:
      name: as of the class.
      data: how text becomes batches.
      score: Comparisons [B, 1, T] -> scores [B, 1].
      longest: tokens at most that the model reads of a row.
    """
    self.name, self._data, self._score = name, data, score
    self._longest = longest

  def __call__(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> np.ndarray:
    """[N] scores of N responses, in the units of the model.

    Raises:
      ExperimentError: a conversation is longer than the model reads.
    """
    asked = [
      Comparison(prompt._replace(condition=''), (response,))
      for prompt, response in zip(prompts, responses, strict=True)
    ]
    scores = np.zeros(len(asked), np.float32)
    if not asked:
      return scores
    examples, _ = self._data.encode_all(asked)
    self._check_lengths(examples)
    rows = self._data.at_a_time(rows_for(len(asked), MOST_ROWS), 1)
    order = np.argsort([one.length for one in examples], kind='stable')
    some = [examples[place] for place in order]
    scores[order] = of_batches(self._score, self._data, some, rows)[:, 0]
    return scores

  def _check_lengths(self, examples):
    for one in examples:
      if self._longest is not None and one.length > self._longest:
        raise ExperimentError(
          f'{one.prompt.place} and a response to it are {one.length} tokens, '
          f'and the reward model {self.name} reads {self._longest}'
        )


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
    values = processes.on_host(function(data.batch(some, rows)))
    found.append(values[: len(some)])
  return np.concatenate(found)


def rows_for(count: int, most: int) -> int:
  """Rows of a batch for `count` examples: a power of 2, so that few compile."""
  return min(most, max(8, 1 << (count - 1).bit_length()))


def by_comparison(
  flat: np.ndarray, comparisons: Sequence[Comparison]
) -> list[np.ndarray]:
  """Splits values [N, ...] of all responses into one [K, ...] a comparison."""
  ends = np.cumsum([len(c.responses) for c in comparisons])[:-1]
  return np.split(flat, ends)


def ratings(model, params, batch):
  """[B, M] scores of each row."""
  return model.scores(params, batch.tokens, batch.attention_mask)


def mean_hidden(model, params, batch):
  """[B, D] hidden states [B, T, D], averaged over each row's response."""
  hidden = model.hidden(params, batch.tokens, batch.attention_mask)
  return mean_of_tokens(hidden, batch.response_mask)
