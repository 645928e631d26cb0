"""In which units the margins of a file enter a loss.

A margin is a difference of reward scores: Llama 2 takes at most 1, or 3, where
people were surest (Touvron et al. 2023, §3.2.2). A judge's scores may run from
1 to 10 or to 100, and taken as they are would ask for rewards that far apart.
So a source multiplies margins by a factor, which is one of these functions of
all the margins that are trained on.
"""

import math
from collections.abc import Sequence

# The inverse of a smaller number is none.
SMALLEST = 1e-300


def standardised(margins: Sequence[float]) -> float:
  """The root mean square of margins becomes 1, whatever their scale was.

  Of those that are not 0: where nobody said how clear it was, none is asked.
  """
  given = [margin for margin in margins if margin]
  if not given:
    return 1.0
  # Shares of the largest, whose squares do not overflow.
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
