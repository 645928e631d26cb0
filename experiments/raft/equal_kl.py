"""RAFT's reward and PPO's at the same KL, along the training of both.

Run: python -m experiments.raft.equal_kl 0 1 2
after python -m launch.seeds experiments/raft/against_ppo.py --seeds 0 1 2.
"""

import numpy as np

from experiments import reading, reward_by_kl
from experiments.raft import against_ppo
from rlhf_jax.evaluation import plots, reward_curve, statistics

POLICIES = ('raft', 'raft_longer', 'raft_overall')
KLS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
# Rounds of PPO that are one row: about as many responses as a stage of RAFT's.
ROWS = 8


def curves_of(settings, stages_dir):
  """{policy: its RewardCurve}, of one seed."""
  chain = reading.done(against_ppo, against_ppo.config(settings), stages_dir)
  found = reward_by_kl.along_training(chain)
  return found | {'ppo': reward_by_kl.in_stretches(found['ppo'], ROWS)}


def by_proxy(curve):
  """The same curve with the learnt reward in gold's place."""
  return curve._replace(gold=curve.proxy)


def print_gaps(seeds):
  """How far each is above PPO at the same KL, with an interval over seeds."""
  print('reward less that of PPO at the same KL, over the √KL both reached')
  for what, read in (('gold', lambda curve: curve), ('learnt', by_proxy)):
    for name in POLICIES:
      gaps = np.array(
        [
          reward_curve.matched_gold(read(seed[name]), read(seed['ppo'])).gap
          for seed in seeds
        ]
      )
      line = f'  {what:8} {name:14}' + ''.join(f'{gap:7.2f}' for gap in gaps)
      if len(gaps) > 1:
        mean = statistics.mean(gaps, np.arange(len(gaps)))
        line += f'   {mean.value:.2f} [{mean.low:.2f}, {mean.high:.2f}]'
      print(line)


def print_rewards(pooled):
  """Both rewards at some KLs: the seeds' mean curves, between their rows."""
  distances = np.sqrt(KLS)
  print(f'\n{"KL, nats":20}' + ''.join(f'{kl:9g}' for kl in KLS))
  for name, curve in pooled.items():
    for what, read in (('gold', curve), ('learnt', by_proxy(curve))):
      values = reward_curve.gold_at(read, distances)
      cells = ''.join(
        f'{value:9.2f}' if np.isfinite(value) else f'{"–":>9}'
        for value in values
      )
      print(f'{name:13}{what:>7}{cells}')


def main():
  """Prints both tables, and draws the seeds' mean curves."""
  options = reward_by_kl.arguments(__doc__, 'runs/raft/equal_kl.png')
  seeds = [
    curves_of(against_ppo.Settings(seed=seed), options.stages)
    for seed in options.seeds
  ]
  pooled = {
    name: reward_by_kl.over_seeds([seed[name] for seed in seeds])
    for name in ('ppo', *POLICIES)
  }
  print_gaps(seeds)
  print_rewards(pooled)
  plots.reward_curves(options.png, pooled)
  print(f'\n{options.png}')


if __name__ == '__main__':
  main()
