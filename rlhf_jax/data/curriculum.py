"""A curriculum: how many examples of each level of difficulty a batch has.

An example's level is read from its record, never from how a policy does on it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from rlhf_jax.data import examples as columns
from rlhf_jax.data.encoding import Example, Record
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.packing import Packs
from rlhf_jax.types import Comparison
from rlhf_jax.types.rules import Finite, Natural
from rlhf_jax.types.values import checked

Mix = Callable[[float, int], np.ndarray]


class Levels(Protocol):
  """Examples in levels, and how they are mixed: a Curriculum, or a mixture."""

  def members(self, examples: Sequence[Example] | Packs) -> list[np.ndarray]:
    """The places of every level's examples, from level 0 to the last."""

  def mix(self, progress: float, levels: int) -> np.ndarray:
    """[levels] shares of a batch, which sum to 1."""


SHARE = 2**30  # A whole step, in the whole numbers that a plan counts in.


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Curriculum:
  """Levels of a dataset, and how much of each a batch holds.

  Attributes:
    level: record -> its level, 0 for the easiest.
    mix: (progress, levels) -> [levels] shares of a batch, which sum to 1.
      Progress runs from 0 at the start of training to 1 at its end.

  Source: Xu et al. 2024 (arXiv 2310.02263), where the levels are gaps between
  the models that wrote a pair.
  """

  level: Callable[[Record], int]
  mix: Mix

  def members(self, examples: Sequence[Example] | Packs) -> list[np.ndarray]:
    """The places of every level's examples, from level 0 to the last there is.

    Raises:
      DataError: a level that is not a whole number from 0, or examples that
        have no record of their own.
    """
    if isinstance(examples, Packs):
      raise DataError(
        'packed examples have no level; a curriculum needs one example a row.'
      )
    found: dict[int, list[int]] = {}
    for place, record in enumerate(columns.records(examples)):
      one = self.level(record)
      if not isinstance(one, int | np.integer) or one < 0:
        index = columns.indices(examples)[place]
        raise DataError(
          f'record {index} is of level {one!r}; levels are whole numbers, from '
          '0 for the easiest.'
        )
      found.setdefault(int(one), []).append(place)
    levels = range(max(found) + 1)
    return [np.array(found.get(one, []), np.int64) for one in levels]


def by_gap(comparison: Comparison, *, edges: tuple[Finite, ...]) -> int:
  """The level of a comparison by how far its best is from its worst.

  The gap is the first score less the last, or the margin where there are no
  scores.

  Args:
    edges: gaps that part the levels, in reward units: with (2.0, 1.0) a gap of
      at least 2 is of level 0, one of at least 1 of level 1, others of level 2.
  """
  gap = comparison.margin
  if comparison.scores is not None:
    gap = comparison.scores[0] - comparison.scores[-1]
  return sum(gap < edge for edge in edges)


def easy_to_hard(progress: float, levels: int) -> np.ndarray:
  """[levels] shares that move from the first level to the last.

  share g = max(0, 1 − |(levels − 1) · progress − g|): of two levels, the easy
  one's falls linearly from 1 to 0.

  Source: Xu et al. 2024, whose linear schedule has two levels.
  """
  place = progress * (levels - 1)
  return np.maximum(0.0, 1.0 - np.abs(place - np.arange(levels)))


def hard_to_easy(progress: float, levels: int) -> np.ndarray:
  """[levels] shares that move from the last level to the first."""
  return easy_to_hard(1.0 - progress, levels)


def uniform(progress: float, levels: int) -> np.ndarray:
  """[levels] equal shares, whatever the levels' sizes."""
  del progress
  return np.full(levels, 1.0 / levels)


def only(progress: float, levels: int, *, level: Natural) -> np.ndarray:
  """[levels] shares of a single level, by its number from 0."""
  del progress
  if not 0 <= level < levels:
    raise ValueError(f'level is {level}; it must be one of 0 to {levels - 1}')
  return np.eye(levels)[level]


def plan(mix: Mix, *, levels: int, steps: int, batch_size: int) -> np.ndarray:
  """[steps, levels] rows of each level in each step's batch.

  A step takes the shares at its middle, progress (t + ½) / steps. After every
  step, every level has had its due, batch_size times the sum of its shares, to
  within 1 − 1 / (2 · levels − 2) rows: half a row of two levels. A row of a
  level may be given once it keeps within that bound, and has to be given before
  the level falls behind it; rows with the earliest deadline are given first.
  (Rounding each step's sums would take rows back from one of three levels.)

  Args:
    mix: of a curriculum.
    steps: of the whole training.
    batch_size: rows of a step, over all levels.

  Returns:
    Whole numbers; every step's sum to batch_size.

  Source: Tijdeman 1980, The chairman assignment problem.
  """
  due = batch_size * np.cumsum(
    [
      _whole(mix((step + 0.5) / steps, levels), levels) for step in range(steps)
    ],
    axis=0,
  )
  # With one level there is no choice.
  behind = -(-SHARE * (2 * levels - 3) // (2 * levels - 2)) if levels > 1 else 0
  least, most = -((behind - due) // SHARE), (due + behind) // SHARE
  # The first step by which a level needs a row more; `steps` if none does.
  deadlines = np.stack(
    [np.searchsorted(rows, rows + 1) for rows in least.T], axis=1
  )
  given = np.zeros((steps + 1, levels), np.int64)
  for step in range(steps):
    rows = np.maximum(given[step], least[step])
    deadline = np.where(rows < most[step], deadlines[step], steps + 1)
    urgent = np.lexsort((least[step] * SHARE - due[step], deadline))
    missing = (step + 1) * batch_size - rows.sum()
    rows[urgent[:missing]] += 1
    given[step + 1] = rows
  return np.diff(given, axis=0)


def _whole(shares: np.ndarray, levels: int) -> np.ndarray:
  """[levels] shares in units of 1 / SHARE, so that sums of many are exact."""
  shares = np.asarray(shares, np.float64)
  if shares.shape != (levels,):
    raise ValueError(
      f'the mix gives shares {shares.shape} for {levels} levels; it must give '
      'one for each.'
    )
  if not (shares >= 0.0).all() or abs(shares.sum() - 1.0) > 1e-6:
    raise ValueError(
      f'the mix gives shares {shares.tolist()}; they must not be negative and '
      'must sum to 1.'
    )
  whole = np.rint(shares * SHARE).astype(np.int64)
  whole[np.argmax(whole)] += SHARE - whole.sum()
  return whole
