"""How far win rates over SFT spread over settings, DPO's and PPO's.

Read off the results of each seed, in runs/dpo/sensitivity.
Run: python -m experiments.readings.dpo_sensitivity 0 1 2
after python -m launch.seeds experiments/dpo/sensitivity.py --seeds 0 1 2.
"""

import json
import pathlib
import sys

import numpy as np

from rlhf_jax.evaluation import statistics

RESULTS = pathlib.Path('runs/dpo/sensitivity')


def spread(seed: str, method: str) -> float:
  """Standard deviation of a method's win rates over its settings."""
  path = RESULTS / f'seed-{seed}' / 'results.json'
  found = json.loads(path.read_text())['policies']
  rates = [v['win_rate'] for k, v in found.items() if k.startswith(method)]
  return float(np.std(rates, ddof=1))


def main():
  """Prints each method's spread by seed, and the difference."""
  spreads = {m: [spread(s, m) for s in sys.argv[1:]] for m in ('ppo', 'dpo')}
  for method, values in spreads.items():
    print(method, 'by seed:', ', '.join(f'{value:.3f}' for value in values))
  gaps = np.subtract(spreads['ppo'], spreads['dpo'])
  found = statistics.mean(gaps, np.arange(len(gaps)))
  print(f'ppo − dpo: {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]')


if __name__ == '__main__':
  main()
