"""Gold by KL along the training of RLP's policies, against PPO's.

Run: python -m experiments.readings.rlp_equal_kl 0 1 2 3 4
after python -m launch.seeds experiments/rlp/published.py --seeds 0 1 2 3 4.
"""

from experiments.readings import reward_by_kl, runs, tables
from experiments.rlp import published
from rlhf_jax.evaluation import reward_curve

POLICIES = ('rlp_uml', 'rlp_spg')
ROWS = 4  # Rounds of a policy that are one row of its curve.


def curves_of(chain):
  """{policy: its RewardCurve along training}."""
  return {
    name: reward_by_kl.in_stretches(curve, ROWS)
    for name, curve in reward_by_kl.along_training(chain).items()
  }


def main():
  """Prints gold less PPO's at the same KL; writes and draws the mean curves."""
  options = runs.arguments(__doc__, 'runs/rlp/equal_kl')
  chains = runs.chains(published, options, needed=POLICIES)
  seeds = [curves_of(chain) for chain in chains]
  print('gold less that of PPO at the same KL, over the √KL both reached')
  for name in POLICIES:
    gaps = [
      reward_curve.matched_gold(seed[name], seed['ppo']).gap for seed in seeds
    ]
    each = ''.join(f'{gap:7.2f}' for gap in gaps)
    print(f'  {name:10}{each}   {tables.over_seeds(gaps)}')
  pooled = reward_by_kl.over_seeds(seeds)
  reward_by_kl.write(options.out, 'reward_by_kl', pooled)


if __name__ == '__main__':
  main()
