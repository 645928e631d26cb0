"""RLP at equal KL: each arm's gold between its policies under three penalties.

Of every policy gold, the share of right answers and KL. Then, of each arm, what
its three policies have by √KL, at the end of training, less that of the control
and of PPO, over the √KL that both reach; and the same between policies of one
penalty along their training.
Run: python -m experiments.readings.rlp_penalties 13 14 15 16 17
after python -m launch.seeds experiments/rlp/penalties.py
  --seeds 13 14 15 16 17.
"""

from collections.abc import Mapping

import numpy as np

from experiments.readings import rlp_bench, rlp_equal_kl, runs, tables
from experiments.rlp import penalties
from rlhf_jax.evaluation import reward_curve
from rlhf_jax.experiment import answers
from rlhf_jax.experiment.prepared import Run
from rlhf_jax.stages import producing

ARMS = ('ppo', *penalties.ARMS)
AGAINST = ('control', 'ppo')


def measured(chain: Run) -> dict[str, dict[str, float]]:
  """{policy: its gold, share of right answers and KL}."""
  found = {}
  for policy in producing(chain.experiment.stages, 'policy'):
    samples = answers.answer(chain, policy)
    kl = {'KL': float(np.mean(samples.kl))}
    found[policy] = rlp_bench.measured(samples) | kl
  return found


def frontier(
  policies: Mapping[str, Mapping[str, float]], arm: str
) -> reward_curve.RewardCurve:
  """An arm's policies by KL, the highest penalty first."""
  names = [penalties.policy_of(arm, p) for p in penalties.PENALTIES[::-1]]
  kl, gold = (
    np.array([policies[name][field] for name in names])
    for field in ('KL', 'gold')
  )
  return reward_curve.RewardCurve(np.arange(len(names)), kl, gold, gold)


def gaps(
  curves: Mapping[str, reward_curve.RewardCurve], own: str, others: list[str]
) -> dict[str, float]:
  """{other: gold of `own` less that of it where both have been}."""
  return {
    other: reward_curve.matched_gold(curves[own], curves[other]).gap
    for other in others
  }


def main():
  """Prints the tables; writes the numbers of each seed."""
  options = runs.arguments(__doc__, 'runs/rlp/penalties_read')
  chains = runs.chains(penalties, options)
  found = [measured(chain) for chain in chains]
  tables.show_means('policy', found)
  ends = [{arm: frontier(seed, arm) for arm in ARMS} for seed in found]
  at_the_end = {
    arm: [gaps(seed, arm, list(AGAINST)) for seed in ends] for arm in ARMS
  }
  print('gold less that of another arm at the same KL, at the end of training')
  tables.show('arm', AGAINST, over_seeds(at_the_end))
  along = {}
  curves = [rlp_equal_kl.curves_of(chain) for chain in chains]
  for penalty in penalties.PENALTIES:
    others = [penalties.policy_of(arm, penalty) for arm in AGAINST]
    for arm in ARMS:
      policy = penalties.policy_of(arm, penalty)
      along[policy] = [
        dict(zip(AGAINST, gaps(seed, policy, others).values(), strict=True))
        for seed in curves
      ]
  print('gold less that of the policy of another arm under the same penalty,')
  print('at the same KL along training')
  tables.show('policy', AGAINST, over_seeds(along))
  content = {
    str(seed): {
      'policies': found[place],
      'at the end': {arm: of[place] for arm, of in at_the_end.items()},
      'along training': {policy: of[place] for policy, of in along.items()},
    }
    for place, seed in enumerate(options.seeds)
  }
  runs.write(options.out, 'by_penalty', content)


def over_seeds(
  found: Mapping[str, list[dict[str, float]]],
) -> dict[str, list[str]]:
  """{row: what is shown of each of AGAINST}."""
  return {
    row: [tables.over_seeds([s[other] for s in seeds]) for other in AGAINST]
    for row, seeds in found.items()
  }


if __name__ == '__main__':
  main()
