"""Are retrained reward models right where the first one is not?

RLP's central claim, which its paper does not measure: on eight samples to each
held-out prompt, of SFT, PPO and the retrained policies, ranked by gold, how
often each reward model is right, on pairs as they are and weighted to be as
hard as SFT's, how calibrated it is, and how it ranks within a prompt.
Run: python -m experiments.readings.rlp_off_distribution 0 1 2 3 4
after python -m launch.seeds experiments/rlp/published.py --seeds 0 1 2 3 4.
"""

import numpy as np

from experiments.readings import policy_samples as samples
from experiments.readings import reward_learning_plots, runs, tables
from experiments.rlp import published
from rlhf_jax.evaluation import (
  off_distribution,
  statistics,
)

POLICIES = ('sft', 'ppo', 'rlp_uml', 'rlp_spg')
REWARDS = ('reward_model', 'reward_model_uml', 'reward_model_spg')
FIRST, *RETRAINED = REWARDS
SAMPLES = 8
NUMBERS = {
  'right': lambda m: m.accuracy.value,
  'right, as hard': lambda m: m.matched.accuracy.value,
  'rank correlation': lambda m: m.correlation.value,
  'calibration error': lambda m: m.calibration_error,
  'calibration slope': lambda m: m.calibration_slope,
  'regret': lambda m: m.regret.value,
  'score': lambda m: m.score_mean,
  'score sd': lambda m: m.score_sd,
}


def measure(chain):
  """{policy: {reward model: PolicyPairs}}, and what each gains on the first."""
  drawn = {
    policy: samples.sample(chain, policy, SAMPLES, rewards=REWARDS)
    for policy in POLICIES
  }
  pairs, gains = {}, {}
  for policy, of in drawn.items():
    pairs[policy] = {
      reward: off_distribution.measure(
        of.scores[reward], of.gold, drawn['sft'].gold
      )
      for reward in REWARDS
    }
    gains[policy] = {
      reward: off_distribution.difference(
        of.scores[reward], of.scores[FIRST], of.gold
      ).value
      for reward in RETRAINED
    }
  return pairs, gains


def show(title, seeds, number, rewards=REWARDS):
  """A table of (pairs, gains, policy, reward) -> number, pooled over seeds."""
  rows = {
    reward: [
      tables.over_seeds([number(*seed, policy, reward) for seed in seeds])
      for policy in POLICIES
    ]
    for reward in rewards
  }
  tables.show(title, POLICIES, rows)


def show_all(seeds):
  """Every number; how much less often right than on SFT's; what is gained."""
  for title, read in NUMBERS.items():
    show(title, seeds, lambda pairs, _, p, r, read=read: read(pairs[p][r]))
  right = NUMBERS['right']
  show(
    'drop from sft',
    seeds,
    lambda pairs, _, p, r: right(pairs['sft'][r]) - right(pairs[p][r]),
  )
  show('gain in right', seeds, lambda _, gains, p, r: gains[p][r], RETRAINED)


def named(value):
  """A measurement as JSON, every number under its name."""
  if hasattr(value, '_asdict'):
    return {name: named(part) for name, part in value._asdict().items()}
  return value


def accuracy(seeds, policy, reward):
  """One seed's own estimate, or the mean of several."""
  estimates = [pairs[policy][reward].accuracy for pairs, _ in seeds]
  if len(estimates) == 1:
    return estimates[0]
  values = np.array([estimate.value for estimate in estimates])
  return statistics.mean(values, np.arange(len(values)))


def main():
  """Prints the tables; writes the numbers and a plot."""
  options = runs.arguments(__doc__, 'runs/rlp/off_distribution')
  chains = runs.chains(published, options, needed=POLICIES)
  seeds = [measure(chain) for chain in chains]
  show_all(seeds)
  content = {
    str(seed): {
      policy: {reward: named(m) for reward, m in own.items()}
      for policy, own in pairs.items()
    }
    for seed, (pairs, _) in zip(options.seeds, seeds, strict=True)
  }
  drawn = {
    reward: {policy: accuracy(seeds, policy, reward) for policy in POLICIES}
    for reward in REWARDS
  }
  runs.write(
    options.out,
    'accuracy',
    content,
    lambda path: reward_learning_plots.accuracy_by_policy(path, drawn),
  )


if __name__ == '__main__':
  main()
