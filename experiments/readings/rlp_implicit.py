"""RLP on a reward that is read from a policy: retrained or trained as long.

Of every policy gold, the share of right answers and KL; then RLP-SPG less its
control, of the policies that learnt from these rewards and of those that are
read as them, and, of the former, gold at the same KL along training.
Run: python -m experiments.readings.rlp_implicit 13 14 15 16 17
after python -m launch.seeds experiments/rlp/implicit.py
  --seeds 13 14 15 16 17.
"""

from experiments.readings import (
  rlp_equal_kl,
  rlp_penalties,
  runs,
  tables,
)
from experiments.rlp import implicit
from rlhf_jax.evaluation import reward_curve

FIELDS = ('gold', 'right', 'KL')
PAIRS = {
  'PPO on it': ('ppo_implicit_spg', 'ppo_implicit_control'),
  'the policy that is read': ('implicit_spg', 'implicit_control'),
  'PPO on it less PPO on the first': ('ppo_implicit_spg', 'ppo_implicit'),
}


def main():
  """Prints the tables; writes the numbers of each seed."""
  options = runs.arguments(__doc__, 'runs/rlp/implicit_read')
  chains = runs.chains(implicit, options)
  found = [rlp_penalties.measured(chain) for chain in chains]
  tables.show_means('policy', found)
  curves = [rlp_equal_kl.curves_of(chain) for chain in chains]
  less, matched = {}, {}
  for name, (better, worse) in PAIRS.items():
    less[name] = [
      tables.over_seeds([s[better][field] - s[worse][field] for s in found])
      for field in FIELDS
    ]
    matched[name] = [
      reward_curve.matched_gold(seed[better], seed[worse]).gap
      if better in seed and worse in seed
      else None
      for seed in curves
    ]
    shown = '–' if None in matched[name] else tables.over_seeds(matched[name])
    less[name].append(shown)
  tables.show('RLP-SPG less its control', (*FIELDS, 'gold at one KL'), less)
  content = {
    str(seed): {
      'policies': found[place],
      'gold at one KL': {name: of[place] for name, of in matched.items()},
    }
    for place, seed in enumerate(options.seeds)
  }
  runs.write(options.out, 'gold_and_right', content)


if __name__ == '__main__':
  main()
