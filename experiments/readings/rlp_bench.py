"""RLP's bench by its two primary measures: mean gold, and how many are right.

Of every policy, and less the control's, over seeds; right is a response whose
only answer word is the right one.
Run: python -m experiments.readings.rlp_bench 13 14 15 16 17 18 19 20 21 22
after python -m launch.seeds experiments/rlp/bench.py
  --seeds 13 14 15 16 17 18 19 20 21 22.
"""

import numpy as np

from experiments.readings import runs, tables
from experiments.rlp import bench
from rlhf_jax import sandbox
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.experiment import answers
from rlhf_jax.stages import producing

CONTROL = 'control'


def measured(samples: PolicySamples) -> dict[str, float]:
  """Mean gold in reward units, and the share of right responses."""
  right = list(map(sandbox.is_right, samples.prompts, samples.responses))
  return {'gold': float(np.mean(samples.gold)), 'right': float(np.mean(right))}


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


if __name__ == '__main__':
  main()
