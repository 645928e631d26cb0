"""How every plot looks, and the parts that several share. Needs matplotlib."""

import math
import pathlib
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import figure

from rlhf_jax.evaluation.statistics import Estimate
from rlhf_jax.storage import files

# Okabe and Ito's colours, told apart by colour-blind readers too; markers
# differ as well, for print in grey.
COLOURS = (
  '#0072B2',
  '#D55E00',
  '#009E73',
  '#CC79A7',
  '#E69F00',
  '#56B4E9',
  '#000000',
)
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '*')
# Of a line that marks where nothing is better or worse.
NEUTRAL = {'color': '#666666', 'linewidth': 1, 'linestyle': (0, (4, 3))}
# Of a value that stands alone, with its interval.
POINT = {'linestyle': 'none', 'linewidth': 1.8, 'markersize': 6}
WIDEST_TITLE = 28  # Letters in a line over one of three panels abreast.
STYLE = {
  'font.family': 'DejaVu Sans',
  'font.size': 10,
  'axes.titlesize': 10.5,
  'axes.titlelocation': 'left',
  'axes.titlepad': 9,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.edgecolor': '#666666',
  'axes.labelcolor': '#333333',
  'axes.grid': True,
  'axes.axisbelow': True,
  'grid.color': '#E4E4E4',
  'xtick.color': '#444444',
  'ytick.color': '#444444',
  'legend.frameon': False,
  'figure.titlesize': 12.5,
  'figure.titleweight': 'bold',
  'savefig.dpi': 150,
}


def page(width: float, height: float) -> figure.Figure:
  """An empty page of so many inches, 6 to 9 wide: a telephone shows 2.5."""
  return figure.Figure(figsize=(width, height), layout='constrained')


def grid(names: Sequence[str], label: str):
  """A page with a titled panel a name, three abreast at most.

  Args:
    names: what the panels show; they are spelt out.
    label: of the horizontal axis.

  Returns:
    The page, and the panels in the order of their names.
  """
  columns = min(3, len(names))
  rows = math.ceil(len(names) / columns)
  sheet = page(max(2.8 * columns + 0.3, 6.0), 2.2 * rows + 0.6)
  panels = sheet.subplots(rows, columns, squeeze=False).ravel()
  for panel, name in zip(panels, names, strict=False):
    panel.set_title(textwrap.fill(spelt(name), WIDEST_TITLE))
  for panel in panels[len(names) :]:
    panel.set_axis_off()
  for panel in panels[len(names) - columns : len(names)]:
    panel.set_xlabel(label)
  return sheet, panels[: len(names)]


def legend_below(sheet: figure.Figure) -> None:
  """One legend for all panels of a page, where it covers nothing of them."""
  found = {}
  for panel in sheet.axes:
    lines, names = panel.get_legend_handles_labels()
    found |= zip(names, lines, strict=True)
  if found:
    # Seventy-five letters fit below, of which a marker takes six.
    columns = min(75 // (6 + max(map(len, found))), len(found), 5)
    place = {'loc': 'outside lower center', 'ncols': max(columns, 1)}
    sheet.legend([*found.values()], [*found], **place)


def look(place: int) -> dict[str, str]:
  """Colour and marker of the place-th policy in the legend.

  No two of the first 56 are alike.
  """
  return {
    'color': COLOURS[place % len(COLOURS)],
    'marker': MARKERS[place % len(MARKERS)],
  }


def intervals(
  estimates: Sequence[Estimate],
) -> tuple[np.ndarray, np.ndarray]:
  """Values [N], and how far the ends [2, N] lie below and above them."""
  values = np.array([estimate.value for estimate in estimates])
  ends = np.array([[estimate.low, estimate.high] for estimate in estimates])
  return values, np.abs(ends.T - values)


def spelt(name: str) -> str:
  """A metric's name in words."""
  words = name.replace('_', ' ').replace('/', ': ').split(' ')
  return ' '.join('KL' if word == 'kl' else word for word in words)


def save(sheet: figure.Figure, path: pathlib.Path) -> None:
  """Writes a page as an image, in the format that its name says."""
  with files.whole(path, 'wb') as file:
    sheet.savefig(file, format=path.suffix.removeprefix('.'))
