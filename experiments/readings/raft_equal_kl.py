"""RAFT's reward and PPO's at the same KL, along the training of both.

Run: python -m experiments.readings.raft_equal_kl 0 1 2
after python -m launch.seeds experiments/raft/against_ppo.py --seeds 0 1 2.
"""

import numpy as np

from experiments.raft import against_ppo
from experiments.readings import reward_by_kl, runs, tables
from rlhf_jax.evaluation import reward_curve

POLICIES = ('raft', 'raft_longer', 'raft_overall')
KLS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
# Rounds of PPO that are one row: about as many responses as a stage of RAFT's.
ROWS = 8


def curves_of(chain):
  """{policy: its RewardCurve}, of one seed."""
  found = reward_by_kl.along_training(chain)
  return {'ppo': reward_by_kl.in_stretches(found['ppo'], ROWS)} | {
    name: found[name] for name in POLICIES
  }


def by_score(curve):
  """The same curve with the learnt reward in gold's place."""
  return curve._replace(gold=curve.score)


def print_gaps(seeds):
  """How far each is above PPO at the same KL, with an interval over seeds."""
  print('reward less that of PPO at the same KL, over the √KL both reached')
  for what, read in (('gold', lambda curve: curve), ('learnt', by_score)):
    for name in POLICIES:
      gaps = [
        reward_curve.matched_gold(read(seed[name]), read(seed['ppo'])).gap
        for seed in seeds
      ]
      each = ''.join(f'{gap:7.2f}' for gap in gaps)
      print(f'  {what:8} {name:14}{each}   {tables.over_seeds(gaps)}')


def print_rewards(pooled):
  """Both rewards at some KLs: the seeds' mean curves, between their rows."""
  distances = np.sqrt(KLS)
  print(f'\n{"KL, nats":20}' + ''.join(f'{kl:9g}' for kl in KLS))
  for name, curve in pooled.items():
    for what, read in (('gold', curve), ('learnt', by_score(curve))):
      values = reward_curve.gold_at(read, distances)
      cells = ''.join(
        f'{value:9.2f}' if np.isfinite(value) else f'{"–":>9}'
        for value in values
      )
      print(f'{name:13}{what:>7}{cells}')


def main():
  """Prints both tables; writes and draws the seeds' mean curves."""
  options = runs.arguments(__doc__, 'runs/raft/equal_kl')
  seeds = [curves_of(chain) for chain in runs.chains(against_ppo, options)]
  pooled = reward_by_kl.over_seeds(seeds)
  print_gaps(seeds)
  print_rewards(pooled)
  reward_by_kl.write(options.out, 'reward_by_kl', pooled)


if __name__ == '__main__':
  main()
