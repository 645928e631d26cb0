"""Seconds that a round of PPO and of ReMax takes: sampling, scoring, updating.

Medians over the rounds of a run but the first, which compiles, and over runs;
of the stages of against_ppo.py, run one after the other on the same cores.
Run: python -m experiments.remax.seconds 0 1 2
after python -m launch.seeds experiments/remax/against_ppo.py --seeds 0 1 2.
"""

import argparse
import pathlib

import numpy as np

from experiments import reading
from experiments.remax import against_ppo
from rlhf_jax.training import metrics

STAGES = ('ppo', 'remax', 'remax_released')
PARTS = ('sample', 'score', 'update')


def seconds(seed, stages_dir) -> dict[str, list[float]]:
  """{stage: median seconds of each part} of one run."""
  experiment = against_ppo.config(against_ppo.Settings(seed=seed))
  chain = reading.done(against_ppo, experiment, stages_dir)
  found = {}
  for name in STAGES:
    rows = metrics.read_jsonl(chain.folder(name).path / 'metrics.jsonl')
    found[name] = [
      float(np.median([row[f'seconds/{part}'] for row in rows[1:]]))
      for part in PARTS
    ]
  return found


def main():
  """Prints a table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('seeds', type=int, nargs='+')
  parser.add_argument(
    '--stages', type=pathlib.Path, default=pathlib.Path('runs/stages')
  )
  options = parser.parse_args()
  runs = [seconds(seed, options.stages) for seed in options.seeds]
  print(
    f'{"seconds a round":18}', *(f'{part:>8}' for part in PARTS), '  in all'
  )
  totals = {}
  for name in STAGES:
    parts = np.array([run[name] for run in runs])
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
