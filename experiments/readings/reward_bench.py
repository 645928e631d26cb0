"""Rewards without new labels: what they are right on, and what they teach.

Of each reward how often it is right on pairs of SFT, of the sampled policy and
of the policy that learnt from it, on minimal pairs and on pairs of which one is
right (both of the sampled policy, as is how it is calibrated); of each policy
gold, the share of right answers, KL, and gold less PPO's at the same KL, along
training. Over seeds, and both primary ones less RLP-SPG's.
Run: python -m experiments.readings.reward_bench 13 14 15 16 17 18 19 20 21 22
after python -m launch.seeds experiments/rlp/reward_bench.py
  --seeds 13 14 15 16 17 18 19 20 21 22.
"""

from collections.abc import Mapping

import numpy as np

from experiments.readings import rlp_bench, rlp_equal_kl, runs, tables
from experiments.rlp import reward_bench
from rlhf_jax.evaluation import reward_curve
from rlhf_jax.evaluation.preference_accuracy import PairMetrics
from rlhf_jax.experiment import answers, measuring, measuring_pairs
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.stages import producing

SAMPLED, BASELINE, OURS = 'sampled_policy', 'ppo', 'rlp_spg'
MINIMAL = 'minimal, sampled'
EQUAL_KL = 'gold at equal KL'


def of_pairs(found: Mapping[str, PairMetrics], policy: str) -> dict[str, float]:
  """What a reward is right on.

  Args:
    found: {whose pairs: what was measured}.
    policy: that learnt from it.
  """
  sampled = found[SAMPLED]
  further = {k: of.accuracy.value for k, of in sampled.further.items()}
  return {
    'SFT': found['sft'].accuracy.value,
    'sampled': sampled.accuracy.value,
    'own policy': found[policy].accuracy.value,
    MINIMAL: further.get('minimal', np.nan),
    'right on wrong': further.get('right on wrong', np.nan),
    'calibration error': sampled.calibration_error,
    'calibration slope': sampled.calibration_slope,
  }


def rewards(
  chain: Run, pairs: Mapping[str, measuring_pairs.PairSet]
) -> dict[str, dict[str, float]]:
  """{policy: what the reward that it learnt from is right on}."""
  networks = measuring_pairs.measured_rewards(chain.experiment)
  found = {}
  for policy, reward in measuring.learnt_from(chain.experiment).items():
    if reward not in networks:
      continue
    with chain.trained.while_needed():
      data, score = measuring_pairs.scored_by(chain, networks[reward])
      measured_on = {
        whose: measuring_pairs.measure_set(data, score, pairs[whose])
        for whose in ('sft', SAMPLED, policy)
      }
    found[policy] = of_pairs(measured_on, policy)
  return found


def equal_kl(curves: Mapping[str, reward_curve.RewardCurve], policy: str):
  """Gold less PPO's where both have been; NaN where none is along training."""
  if policy not in curves:
    return np.nan
  return reward_curve.matched_gold(curves[policy], curves[BASELINE]).gap


def measured(chain: Run) -> tuple[dict[str, dict], dict[str, dict]]:
  """{policy: its reward's numbers} and {policy: its own}, of a seed."""
  policies = producing(chain.experiment.stages, 'policy')
  samples = {name: answers.answer(chain, name) for name in policies}
  curves = rlp_equal_kl.curves_of(chain)
  pairs = measuring_pairs.pairs_of_policies(chain, samples)
  return rewards(chain, pairs), {
    name: rlp_bench.measured(of)
    | {'KL': float(np.mean(of.kl)), EQUAL_KL: equal_kl(curves, name)}
    for name, of in samples.items()
  }


def show(title: str, seeds: list[dict[str, dict]], *, primary: str) -> None:
  """A row a policy; the last column is the primary number less RLP-SPG's."""

  def numbers(policy, name):
    return np.array([seed[policy][name] for seed in seeds])

  columns, rows = list(seeds[0][OURS]), {}
  for policy in seeds[0]:
    own = [numbers(policy, name) for name in columns]
    own.append(numbers(policy, primary) - numbers(OURS, primary))
    rows[policy] = [
      tables.over_seeds(each) if np.isfinite(each).all() else '–'
      for each in own
    ]
  tables.show(title, [*columns, f'{primary} − SPG'], rows)


def main():
  """Prints a table of rewards and one of policies; writes each seed's."""
  options = runs.arguments(__doc__, 'runs/rlp/reward_bench')
  seeds = [measured(chain) for chain in runs.chains(reward_bench, options)]
  of_rewards, policies = map(list, zip(*seeds, strict=True))
  show('reward of', of_rewards, primary=MINIMAL)
  show('policy', policies, primary=EQUAL_KL)
  content = {
    str(seed): {'rewards': of_rewards[place], 'policies': policies[place]}
    for place, seed in enumerate(options.seeds)
  }
  runs.write(options.out, 'rewards_and_policies', content)


if __name__ == '__main__':
  main()
