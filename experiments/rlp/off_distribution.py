"""Are retrained reward models right where the first one is not?

RLP's central claim, which its paper does not measure: on eight samples to each
held-out prompt, of SFT, PPO and the retrained policies, ranked by gold, how
often each reward model is right, on pairs as they are and weighted to be as
hard as SFT's, how calibrated it is, and how it ranks within a prompt. Then gold
by KL along the training of each policy, against PPO's at the same KL.
Run: python -m experiments.rlp.off_distribution 0 1 2 3 4
after python -m launch.seeds experiments/rlp/sandbox.py --seeds 0 1 2 3 4.
"""

import numpy as np

from experiments import reading, reward_by_kl, sandbox_samples
from experiments.rlp import sandbox
from rlhf_jax.evaluation import (
  off_distribution,
  plots,
  reward_curve,
  reward_learning_plots,
  statistics,
)

POLICIES = ('sft', 'ppo', 'rlp_uml', 'rlp_spg')
REWARDS = ('reward_model', 'reward_model_uml', 'reward_model_spg')
SAMPLES = 8
ROWS = 4  # Rounds of a policy that are one row of its curve.
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
    policy: sandbox_samples.sample(chain, policy, SAMPLES, rewards=REWARDS)
    for policy in POLICIES
  }
  like = drawn['sft'].gold
  first = REWARDS[0]
  pairs = {
    policy: {
      reward: off_distribution.measure(d.scores[reward], d.gold, like)
      for reward in REWARDS
    }
    for policy, d in drawn.items()
  }
  gains = {
    policy: {
      reward: off_distribution.difference(
        d.scores[reward], d.scores[first], d.gold
      ).value
      for reward in REWARDS[1:]
    }
    for policy, d in drawn.items()
  }
  return pairs, gains


def curves_of(chain):
  """{policy: its RewardCurve along training}."""
  found = reward_by_kl.along_training(chain)
  return {
    name: reward_by_kl.in_stretches(curve, ROWS)
    for name, curve in found.items()
  }


def print_numbers(seeds):
  """A table of every number, pooled over seeds."""
  for name, read in NUMBERS.items():
    print(f'\n{name:18}' + ''.join(f'{policy:>22}' for policy in POLICIES))
    for reward in REWARDS:
      cells = (
        reading.over_seeds([read(pairs[policy][reward]) for pairs, _ in seeds])
        for policy in POLICIES
      )
      print(f'{reward:18}' + ''.join(f'{cell:>22}' for cell in cells))


def print_gains(seeds):
  """What retraining gains in accuracy on the very same pairs."""
  print(
    f'\n{"gain in right":18}' + ''.join(f'{policy:>22}' for policy in POLICIES)
  )
  for reward in REWARDS[1:]:
    cells = (
      reading.over_seeds([gains[policy][reward] for _, gains in seeds])
      for policy in POLICIES
    )
    print(f'{reward:18}' + ''.join(f'{cell:>22}' for cell in cells))


def print_drops(seeds):
  """How much less often each model is right than on SFT's pairs."""
  print(
    f'\n{"drop from sft":18}' + ''.join(f'{policy:>22}' for policy in POLICIES)
  )
  for reward in REWARDS:
    rates = [
      {policy: own[reward].accuracy.value for policy, own in pairs.items()}
      for pairs, _ in seeds
    ]
    cells = (
      reading.over_seeds([rate['sft'] - rate[policy] for rate in rates])
      for policy in POLICIES
    )
    print(f'{reward:18}' + ''.join(f'{cell:>22}' for cell in cells))


def named(value):
  """A measurement as JSON, every number under its name."""
  if hasattr(value, '_asdict'):
    return {name: named(part) for name, part in value._asdict().items()}
  return value


def print_gaps(curves):
  """Gold less PPO's at the same KL, along training."""
  print('\ngold less that of PPO at the same KL, over the √KL both reached')
  for name in POLICIES[2:]:
    gaps = [
      reward_curve.matched_gold(seed[name], seed['ppo']).gap for seed in curves
    ]
    each = ''.join(f'{gap:7.2f}' for gap in gaps)
    print(f'  {name:10}{each}   {reading.over_seeds(gaps)}')


def accuracies(seeds):
  """{reward model: {policy: accuracy}} with intervals over seeds, to draw."""
  return {
    reward: {
      policy: pairs_over_seeds(
        [pairs[policy][reward].accuracy for pairs, _ in seeds]
      )
      for policy in POLICIES
    }
    for reward in REWARDS
  }


def pairs_over_seeds(estimates):
  """One seed's own estimate, or the mean of several."""
  if len(estimates) == 1:
    return estimates[0]
  values = np.array([estimate.value for estimate in estimates])
  return statistics.mean(values, np.arange(len(values)))


def main():
  """Prints the tables; writes numbers and two plots."""
  options = reading.arguments(__doc__, 'runs/rlp/off_distribution')
  chains = [
    reading.chain_of(sandbox, seed, options, needed=POLICIES, answering={})
    for seed in options.seeds
  ]
  seeds = [measure(chain) for chain in chains]
  curves = [curves_of(chain) for chain in chains]
  print_numbers(seeds)
  print_drops(seeds)
  print_gains(seeds)
  print_gaps(curves)
  content = {
    str(seed): {
      policy: {reward: named(m) for reward, m in own.items()}
      for policy, own in pairs.items()
    }
    for seed, (pairs, _) in zip(options.seeds, seeds, strict=True)
  }
  reading.write(
    options.out,
    'accuracy',
    content,
    lambda path: reward_learning_plots.accuracy_by_policy(
      path, accuracies(seeds)
    ),
  )
  pooled = {
    name: reward_by_kl.over_seeds([seed[name] for seed in curves])
    for name in curves[0]
  }
  picture = options.out / 'reward_by_kl.png'
  plots.reward_curves(picture, pooled)
  print(f'written: {picture}')


if __name__ == '__main__':
  main()
