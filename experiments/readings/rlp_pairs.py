"""How often gold agrees with synthetic pairs, by how they were made, and by γ.

The paper's preference accuracy (table 5), of every set of pairs of the
ablations; then, by the threshold of RLP-SPG, what is accepted, how much of it
gold agrees with, and the win rate against PPO of what learns from it.
Run: python -m experiments.readings.rlp_pairs 0 1 2 3 4
after python -m launch.seeds FILE --seeds 0 1 2 3 4 with
experiments/rlp/ablations.py and experiments/rlp/threshold.py.
"""

from collections.abc import Sequence

import numpy as np

from experiments.readings import reward_learning_plots, runs, tables
from experiments.rlp import ablations, threshold
from rlhf_jax.evaluation import statistics
from rlhf_jax.experiment.prepared import Run

WAYS = ('spg', 'spg_any', 'select_all', 'reward', 'rlaif')
FACTS = (
  'records',
  'gold_agrees',
  'accepted',
  'confidence',
  'groups',
  'semantic_entropy',
  'reward_gap',
  'chosen_length',
  'rejected_length',
  'chosen_cut',
  'rejected_cut',
  'tied',
  'swayed_by_order',
)


def facts(chains: Sequence[Run], stage: str) -> dict[str, list[float]]:
  """The facts in a stage of pairs' `done.json`, one number a seed."""
  seeds = [chain.folders[stage].facts() for chain in chains]
  return {name: [s[name] for s in seeds] for name in FACTS if name in seeds[0]}


def show_ways(chains: Sequence[Run]) -> None:
  """The paper's table 5: each way of making pairs."""
  print('pairs                their facts, over seeds')
  for way in WAYS:
    print(way)
    for name, values in facts(chains, f'reward_model_{way}_pairs').items():
      print(f'  {name:18} {tables.over_seeds(values)}')


def by_gamma(chains: Sequence[Run]) -> dict[str, list[statistics.Estimate]]:
  """{quantity: an estimate for each γ}."""
  by_setting = [
    facts(chains, f'reward_model_{threshold.policy_of(gamma)}_pairs')
    for gamma in threshold.GAMMAS
  ]
  found = {
    label: [
      statistics.mean(np.array(given[name]), np.arange(len(chains)))
      for given in by_setting
    ]
    for label, name in (
      ('prompts accepted, share', 'accepted'),
      ('pairs that gold agrees with, share', 'gold_agrees'),
    )
  }
  found['win rate against PPO'] = [
    runs.win_rate_of(chains, threshold.policy_of(gamma), 'ppo')
    for gamma in threshold.GAMMAS
  ]
  return found


def main():
  """Prints both tables, writes the second and draws it."""
  options = runs.arguments(__doc__, 'runs/rlp/pairs')
  show_ways(runs.chains(ablations, options, needed=('rlaif',)))
  chains = runs.chains(threshold, options, needed=('spg_90',))
  found = by_gamma(chains)
  print(f'\n{"γ":36}' + ''.join(f'{gamma:>8}' for gamma in threshold.GAMMAS))
  for name, line in found.items():
    cells = ''.join(f'{estimate.value:8.2f}' for estimate in line)
    print(f'{name:36}{cells}')
  # One seed alone has no interval.
  shown = {} if len(chains) < 2 else found
  values, lows, highs = (
    {k: [getattr(e, part) for e in line] for k, line in quantities.items()}
    for part, quantities in (('value', found), ('low', shown), ('high', shown))
  )
  runs.write(
    options.out,
    'threshold',
    {name: [e._asdict() for e in line] for name, line in found.items()},
    lambda path: reward_learning_plots.by_threshold(
      path, threshold.GAMMAS, values, lows, highs
    ),
  )


if __name__ == '__main__':
  main()
