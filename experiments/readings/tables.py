"""How readings print numbers."""

from collections.abc import Mapping, Sequence

import numpy as np

from rlhf_jax.evaluation import statistics


def shown(estimate: statistics.Estimate) -> str:
  """A number with its interval."""
  return f'{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]'


def over_seeds(values: Sequence[float]) -> str:
  """The mean, with its interval where there are seeds to tell it from."""
  found = statistics.mean(np.array(values, float), np.arange(len(values)))
  return f'{found.value:.2f}' if len(values) < 2 else shown(found)


def show(
  title: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]
) -> None:
  """Prints a line a row, its cells below the columns' names."""
  lines = {title: columns, **rows}
  width = max(map(len, lines)) + 2
  each = max(22, *(len(cell) + 2 for cells in lines.values() for cell in cells))
  for name, cells in lines.items():
    print(f'{name:{width}}' + ''.join(f'{cell:>{each}}' for cell in cells))
  print()


def show_means(
  title: str, seeds: Sequence[Mapping[str, Mapping[str, float]]]
) -> None:
  """Prints {row: {column: number}} of each seed as one table, over seeds."""
  rows = {
    row: [over_seeds([seed[row][name] for seed in seeds]) for name in cells]
    for row, cells in seeds[0].items()
  }
  show(title, list(next(iter(seeds[0].values()))), rows)
