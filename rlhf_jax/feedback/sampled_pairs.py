"""Pairs out of a policy's samples: their config, groups of samples, facts.

Which two samples of a prompt are compared is the methods' to say; what they
share is here.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rlhf_jax.feedback.similarity import Similarity
from rlhf_jax.types import Comparison, Mean, Sampled
from rlhf_jax.types.rules import Count, NonNegative
from rlhf_jax.types.values import checked

# Which samples are similar [n, n] -> the group of each [n], in jax.
Linkage = Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class PairConfig:
  """How many pairs there are, and how much they weigh.

  Attributes:
    weight: of each pair, beside that of an annotated one.
    count: the most pairs that are written, the first ones; None for all there
      are. With a count batch_size has to be None.
    batch_size: prompts at a time; None for all at once.
  """

  weight: NonNegative = 1.0
  count: Count | None = None
  batch_size: Count | None = 256

  def __post_init__(self):
    if self.count is not None and self.batch_size is not None:
      raise ValueError(
        f'count is {self.count} and batch_size {self.batch_size}; prompts '
        'would be gone over until there are so many pairs, the same ones '
        'again. Set batch_size to None, and count is the most that are kept'
      )

  def when_none(
    self, facts: Mapping[str, float], *, own: str, drawing: str
  ) -> str:
    """What to change where no prompt gave a pair.

    Args:
      facts: means over the prompts, by name.
      own: where these values are set, as in 'stages.pairs.config'.
      drawing: likewise of the stage that drew the samples.
    """
    del facts, own
    return f'no prompt has two samples to compare; {more_samples(drawing)}'


def more_samples(drawing: str) -> str:
  """How a prompt's samples get more varied; `drawing` as of `when_none`."""
  return (
    f'draw more samples of a prompt ({drawing}.samples) or at a higher '
    f'temperature ({drawing}.sampling.temperature)'
  )


def refuse_unfit(records: Sequence[Sampled], *, scored: bool) -> None:
  """Refuses samples that no pair can be made of.

  Raises:
    ValueError: saying why.
  """
  for record in records:
    if len(record.responses) < 2:
      raise ValueError(
        f'a prompt has {len(record.responses)} sample, and a pair needs two; '
        'draw more (samples of the stage that drew them)'
      )
    if scored and record.scores is None:
      raise ValueError(
        'the samples have no scores, which these pairs need; name a reward in '
        'the stage that draws them'
      )


def groups(
  records: Sequence[Sampled],
  queries: Any,
  *,
  similarity: Similarity,
  linkage: Linkage,
) -> list[np.ndarray]:
  """[n] group numbers of each record's samples; an empty one is alone."""
  similar = similarity(
    [record.prompt for record in records],
    [record.responses for record in records],
    queries,
  )
  found = []
  for record, labels in zip(records, of_each(linkage, similar), strict=True):
    empty = np.array([not text.strip() for text in record.responses])
    labels[empty] = len(labels) + np.arange(empty.sum())
    found.append(labels)
  return found


def least_count(share: float, count: int) -> int:
  """How many of `count` are this share of them or more.

  7 of 10 reach 0.7, whatever 0.7 · 10 is in floating point.
  """
  return math.ceil(share * count - 1e-9)


def of_each(
  function: Callable[[jax.Array], jax.Array], arrays: Sequence[np.ndarray]
) -> list[np.ndarray]:
  """`function` of every array, those of one shape in one call."""
  found = {}
  for shape in {np.shape(array) for array in arrays}:
    rows = [i for i, array in enumerate(arrays) if np.shape(array) == shape]
    stacked = np.stack([arrays[i] for i in rows])
    values = np.array(jax.vmap(function)(stacked))
    found |= zip(rows, values, strict=True)
  return [found[i] for i in range(len(arrays))]


def compared(
  record: Sampled, chosen: int, rejected: int, weight: float
) -> Comparison:
  """Two samples of a record as a pair."""
  texts = (record.response(chosen), record.response(rejected))
  return Comparison(record.prompt, texts, weight=weight)


def facts_of(record: Sampled, chosen: int, rejected: int) -> dict[str, float]:
  """Facts of a pair, in reward units and tokens."""
  scores, lengths, ended = record.scores, record.lengths, record.ended
  gap = {}
  if scores is not None:
    gap['reward_gap'] = scores[chosen] - scores[rejected]
  return gap | {
    'accepted': 1.0,
    'chosen_length': float(lengths[chosen]),
    'rejected_length': float(lengths[rejected]),
    'chosen_cut': float(not ended[chosen]),
    'rejected_cut': float(not ended[rejected]),
  }


def averaged(facts: Sequence[Mapping[str, float]]) -> dict[str, Mean]:
  """The mean of each fact, over the prompts that have it."""
  names = dict.fromkeys(name for each in facts for name in each)
  return {
    name: Mean.of(np.array([f[name] for f in facts if name in f], np.float32))
    for name in names
  }
