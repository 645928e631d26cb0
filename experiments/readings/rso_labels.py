"""How often gold agrees with the labels of each kind of pairs, and what meets.

Run: python -m experiments.readings.rso_labels 0 1 2
after python -m launch.seeds experiments/rso/rejection.py --seeds 0 1 2.
"""

import numpy as np

from experiments.readings import runs
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
  chains = runs.chains(rejection, runs.arguments(__doc__))
  print(f'{"pairs":18} gold agrees, mean gold; by seed')
  for name in PAIRS:
    found = [agreement(chain.data.records(name)) for chain in chains]
    print(f'{name:18}', '   '.join(f'{a:.3f} {g:.2f}' for a, g in found))


if __name__ == '__main__':
  main()
