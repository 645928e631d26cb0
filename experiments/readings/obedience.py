"""What a conditioned policy is asked for, against what it gives."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes


def slope(asked: Sequence[float], given: Sequence[float]) -> float:
  """Of the line of least squares; 1 is as asked, 0 ignores the request."""
  return float(np.polyfit(asked, given, 1)[0])


def draw(
  panel: Axes, asked: Sequence[float], given: np.ndarray, colour: str
) -> None:
  """A thin line a seed, their mean bold; given is [seeds, asked]."""
  panel.plot(asked, given.T, color=colour, linewidth=0.8, alpha=0.5)
  panel.plot(
    asked, given.mean(0), 'o-', color=colour, linewidth=2, label='given'
  )
