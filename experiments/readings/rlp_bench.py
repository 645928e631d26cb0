"""RLP's bench by its two primary measures: mean gold, and how many are right.

Of every policy, and less the control's, over seeds; right is a response whose
only answer word is the right one. Then, along training and on its prompts, gold
less that of the control and of PPO at the same KL, over the √KL that both
reached: policies at one penalty are not at one KL.
Run: python -m experiments.readings.rlp_bench 13 14 15 16 17 18 19 20 21 22
after python -m launch.seeds experiments/rlp/bench.py
  --seeds 13 14 15 16 17 18 19 20 21 22.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.readings import reward_by_kl, rlp_equal_kl, runs, tables
from experiments.rlp import bench
from rlhf_jax import sandbox
from rlhf_jax.evaluation import reward_curve
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.experiment import answers
from rlhf_jax.stages import producing

CONTROL = 'control'
AGAINST = (CONTROL, 'ppo')


def measured(samples: PolicySamples) -> dict[str, float]:
  """Mean gold in reward units, and the share of right responses."""
  right = list(map(sandbox.is_right, samples.prompts, samples.responses))
  return {'gold': float(np.mean(samples.gold)), 'right': float(np.mean(right))}


def at_equal_kl(
  curves: Sequence[Mapping[str, reward_curve.RewardCurve]],
) -> dict[str, list[str]]:
  """{policy: its gold less that of each of AGAINST, as it is shown}.

  Args:
    curves: of each seed, by policy.
  """
  return {
    policy: [
      tables.over_seeds(
        [
          reward_curve.matched_gold(seed[policy], seed[other]).gap
          for seed in curves
        ]
      )
      for other in AGAINST
    ]
    for policy in curves[0]
  }


def main():
  """Prints a line a policy; writes the numbers of each seed."""
  options = runs.arguments(__doc__, 'runs/rlp/bench')
  chains = runs.chains(bench, options)
  found = {
    policy: [measured(answers.answer(chain, policy)) for chain in chains]
    for policy in producing(chains[0].experiment.stages, 'policy')
  }
  rows = {policy: [] for policy in found}
  for name in ('gold', 'right'):
    control = np.array([seed[name] for seed in found[CONTROL]])
    for policy, seeds in found.items():
      own = np.array([seed[name] for seed in seeds])
      rows[policy] += map(tables.over_seeds, (own, own - control))
  columns = ('gold', 'less the control', 'right', 'less the control')
  tables.show('policy', columns, rows)
  runs.write(options.out, 'gold_and_right', found)
  curves = [rlp_equal_kl.curves_of(chain) for chain in chains]
  print('gold less that of another at the same KL, along training')
  tables.show('policy', AGAINST, at_equal_kl(curves))
  pooled = reward_by_kl.over_seeds(curves)
  reward_by_kl.write(options.out, 'reward_by_kl', pooled)


if __name__ == '__main__':
  main()
