"""What RLP-SPG's policies gain in being right, and lose in manner.

Of each policy gold, the share of right answers, KL, and how often it wins over
PPO: of all pairings, and of those of which both or neither are right, where
manner alone decides.
Run: python -m experiments.readings.rlp_manner 100
after python -m launch.train experiments/rlp/manner.py.
"""

import numpy as np

from experiments.readings import rlp_bench, runs, tables
from experiments.rlp import manner
from rlhf_jax import sandbox
from rlhf_jax.evaluation import win_rate
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.experiment import answers
from rlhf_jax.stages import producing

BASELINE = 'ppo'


def measured(mine: PolicySamples, theirs: PolicySamples) -> dict[str, float]:
  """A policy's numbers, its wins over another's among them.

  Wins by manner are NaN where all pairings are of a right and a wrong one.
  """
  credits = win_rate.credits(mine, theirs, 'gold')
  right, other = (
    np.array(list(map(sandbox.is_right, of.prompts, of.responses)))
    for of in (mine, theirs)
  )
  alike = right == other
  by_manner = float(np.mean(credits[alike])) if alike.any() else np.nan
  return rlp_bench.measured(mine) | {
    'KL': float(np.mean(mine.kl)),
    'wins': float(np.mean(credits)),
    'wins by manner': by_manner,
  }


def main():
  """Prints a line a policy; writes the numbers of each seed."""
  options = runs.arguments(__doc__, 'runs/rlp/manner_read')
  chains = runs.chains(manner, options)
  policies = producing(chains[0].experiment.stages, 'policy')
  first = [answers.answer(chain, BASELINE) for chain in chains]
  found = {
    policy: [
      measured(answers.answer(chain, policy), theirs)
      for chain, theirs in zip(chains, first, strict=True)
    ]
    for policy in policies
  }
  rows = {
    policy: [
      tables.over_seeds([seed[name] for seed in seeds]) for name in seeds[0]
    ]
    for policy, seeds in found.items()
  }
  tables.show('policy', list(found[BASELINE][0]), rows)
  runs.write(options.out, 'manner', found)


if __name__ == '__main__':
  main()
