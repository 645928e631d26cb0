"""Scales of the margins that a file gives, before they enter a loss.

A loss asks for rewards that differ by the margin: Llama 2 takes at most 1, or
3, where people were surest (Touvron et al. 2023, §3.2.2), but a judge's scores
may run from 1 to 100. So a source multiplies margins by a factor, one of these
functions of all the margins that are trained on.
"""

import math
from collections.abc import Sequence

import numpy as np

from rlhf_jax.data import sequences
from rlhf_jax.types import Comparison

# The inverse of a smaller number overflows.
SMALLEST = 1e-300


def standardised(margins: Sequence[float]) -> float:
  """Makes the root mean square of the margins 1.

  Margins of 0 do not count: there nobody said how clear the preference was.
  """
  given = [margin for margin in margins if margin]
  if not given:
    return 1.0
  # Divided by the largest, so that squares do not overflow.
  largest = max(map(abs, given))
  squares = math.fsum((margin / largest) ** 2 for margin in given)
  return 1.0 / max(largest * math.sqrt(squares / len(given)), SMALLEST)


def as_given(margins: Sequence[float]) -> float:
  """Margins that are in reward units already."""
  del margins
  return 1.0


def left_out(margins: Sequence[float]) -> float:
  """No margins: all pairs ask for the same."""
  del margins
  return 0.0


def given(comparisons: Sequence[Comparison]) -> list[float]:
  """The margins of comparisons, which are not read where they are on disk."""
  kept = sequences.column(comparisons, 'margin')
  return [one.margin for one in comparisons] if kept is None else kept.tolist()


def times(
  comparisons: Sequence[Comparison], factor: float
) -> Sequence[Comparison]:
  """Comparisons with their margins multiplied by a factor."""

  def scaled(one: Comparison) -> Comparison:
    return one._replace(margin=factor * one.margin)

  if sequences.fingerprint(comparisons) is None:
    return list(map(scaled, comparisons))
  places = np.arange(len(comparisons))
  return sequences.Selected(comparisons, places, scaled, f'×{factor!r}')
