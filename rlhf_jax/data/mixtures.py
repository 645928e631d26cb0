"""A mixture: how much of each of several datasets a batch holds."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.data import examples as columns
from rlhf_jax.data.examples import Example
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.packing import Packs
from rlhf_jax.types.rules import Bound, Positive
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Mixture:
  """Shares of the datasets that a stage learns from, the same in every batch.

  A dataset of n examples has a share in proportion to weight · n^(1 / T).

  Attributes:
    weights: by the name of a dataset; 1 of those that are not named.
    temperature: T. With 1 the shares are those of the examples; the higher, the
      more of small datasets; infinite, the shares are the weights alone.
    epochs: how often a training may go through a dataset. One that would come
      more often has the share that this leaves it, and the others have more.

  Source: Raffel et al. 2020 (T5), §3.5.2: temperature-scaled mixing, and, with
  a limit, examples-proportional mixing.
  """

  weights: Mapping[str, Positive] = dataclasses.field(default_factory=dict)
  temperature: Bound = 1.0
  epochs: Positive | None = None

  def shares(self, sizes: Mapping[str, int], rows: int) -> np.ndarray:
    """[D] the share of each dataset; they sum to 1.

    Args:
      sizes: examples of each dataset, by name, in its order.
      rows: of the whole training.

    Raises:
      DataError: a dataset that is weighted and not there, one without examples,
        or too few examples for the rows.
    """
    unknown = sorted(set(self.weights) - set(sizes))
    if unknown:
      raise DataError(
        f'the mixture weights {unknown[0]!r}, which the stage does not read; '
        f'it reads {", ".join(sizes)}.'
      )
    empty = [name for name, size in sizes.items() if not size]
    if empty:
      raise DataError(
        f'nothing is left of {empty[0]!r} to mix; leave it out, or raise the '
        'limits of its lengths.'
      )
    counts = np.array([*sizes.values()], np.float64)
    weights = np.array([self.weights.get(name, 1.0) for name in sizes])
    wanted = weights * counts ** (1.0 / self.temperature)
    if self.epochs is None:
      return wanted / wanted.sum()
    most = self.epochs * counts / rows
    if most.sum() < 1.0:
      raise DataError(
        f'{rows} rows are learnt from, and {self.epochs:g} times through all '
        f'of {", ".join(sizes)} is {round(most.sum() * rows)}; give fewer '
        'steps, or more epochs.'
      )
    return _limited(wanted, most)

  def placed(
    self,
    examples: Sequence[Example] | Packs,
    records: Mapping[str, int],
    rows: int,
  ) -> 'Placed':
    """The examples of each dataset, and its share.

    Args:
      examples: of the datasets' records, one dataset after the other.
      records: how many each dataset has, by name, in that order.
      rows: of the whole training.

    Raises:
      DataError: as of `shares`; or rows hold several examples each.
    """
    if isinstance(examples, Packs):
      raise DataError(
        'rows of several demonstrations are of several datasets; a mixture '
        'needs one example a row, so leave out row_length.'
      )
    ends = np.cumsum([*records.values()])
    dataset = np.searchsorted(ends, columns.indices(examples), side='right')
    own = [np.flatnonzero(dataset == place) for place in range(len(records))]
    sizes = dict(zip(records, map(len, own), strict=True))
    return Placed(own, self.shares(sizes, rows))


class Placed(NamedTuple):
  """A mixture of datasets at hand, as batches take one.

  Attributes:
    levels: places of each dataset's examples.
    shares: [D] of a batch.
  """

  levels: list[np.ndarray]
  shares: np.ndarray

  def members(self, examples: Sequence[Example]) -> list[np.ndarray]:
    """The places of every dataset's examples."""
    del examples
    return self.levels

  def mix(self, progress: float, levels: int) -> np.ndarray:
    """[D] the shares, which never change."""
    del progress, levels
    return self.shares


def _limited(wanted: np.ndarray, most: np.ndarray) -> np.ndarray:
  """Shares in proportion to `wanted`, none above `most`; they sum to 1."""
  shares, free = np.zeros_like(wanted), np.ones(len(wanted), bool)
  while free.any():
    left = 1.0 - shares[~free].sum()
    shares[free] = left * wanted[free] / wanted[free].sum()
    over = free & (shares > most)
    if not over.any():
      break
    shares[over] = most[over]
    free &= ~over
  return shares
