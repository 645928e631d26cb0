"""How often gold agrees with the labels of each kind of pairs, and what meets.

Run: python -m experiments.rso.labels 0 1 2
after python -m launch.seeds experiments/rso/rejection.py --seeds 0 1 2.
"""

import argparse
import pathlib

import numpy as np

from experiments import reading
from experiments.rso import rejection
from rlhf_jax.sandbox import gold

PAIRS = (
  'preferences',
  'sft_pairs',
  'rso_pairs',
  'ranker_pairs',
  'relabelled_pairs',
  'comparisons',
)


def agreement(comparisons):
  """Share of decided pairs that gold orders alike, and the mean gold of all."""
  asked = [c.prompt for c in comparisons for _ in c.responses]
  texts = [text for c in comparisons for text in c.responses]
  worths = gold(asked, texts).reshape(-1, 2)
  gaps = worths[:, 0] - worths[:, 1]
  return np.mean(gaps[gaps != 0] > 0), np.mean(worths)


def main():
  """Prints a row for each kind of pairs: both numbers of each seed."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('seeds', type=int, nargs='+')
  parser.add_argument('--stages', type=pathlib.Path, default='runs/stages')
  options = parser.parse_args()
  chains = [
    reading.done(
      rejection,
      rejection.config(rejection.Settings(seed=seed)),
      options.stages,
    )
    for seed in options.seeds
  ]
  print(f'{"pairs":18} gold agrees, mean gold; by seed')
  for name in PAIRS:
    found = [agreement(chain.records(name)) for chain in chains]
    print(f'{name:18}', '   '.join(f'{a:.3f} {g:.2f}' for a, g in found))


if __name__ == '__main__':
  main()
