"""Seconds that a round of PPO and of ReMax takes: sampling, scoring, updating.

Medians over the rounds of a run but the first, which compiles, and over runs;
of the stages of remax/against_ppo.py, one after the other on the same cores.
Run: python -m experiments.readings.remax_seconds 0 1 2
after python -m launch.seeds experiments/remax/against_ppo.py --seeds 0 1 2.
"""

import numpy as np

from experiments.readings import runs
from experiments.remax import against_ppo
from rlhf_jax.training import metrics

STAGES = ('ppo', 'remax', 'remax_released')
PARTS = ('sample', 'score', 'update')


def seconds(chain) -> dict[str, list[float]]:
  """{stage: median seconds of each part} of one run."""
  found = {}
  for name in STAGES:
    rows = metrics.read_jsonl(chain.folders[name].path / 'metrics.jsonl')
    found[name] = [
      float(np.median([row[f'seconds/{part}'] for row in rows[1:]]))
      for part in PARTS
    ]
  return found


def main():
  """Prints a table."""
  options = runs.arguments(__doc__)
  found = [seconds(chain) for chain in runs.chains(against_ppo, options)]
  print(
    f'{"seconds a round":18}', *(f'{part:>8}' for part in PARTS), '  in all'
  )
  totals = {}
  for name in STAGES:
    parts = np.array([run[name] for run in found])
    totals[name] = parts.sum(1)
    each = ' '.join(f'{value:8.3f}' for value in np.median(parts, axis=0))
    print(f'{name:18} {each} {np.median(totals[name]):8.3f}')
  for name in STAGES[1:]:
    ratios = totals['ppo'] / totals[name]
    print(
      f'PPO takes {np.median(ratios):.2f} times as long as {name} '
      f'({", ".join(f"{ratio:.2f}" for ratio in ratios)})'
    )


if __name__ == '__main__':
  main()
