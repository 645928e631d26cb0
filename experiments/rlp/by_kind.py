"""RLP against PPO by kind of prompt: the paper's figure 2, in the sandbox.

Run: python -m experiments.rlp.by_kind 0 1 2 3 4
after python -m launch.seeds experiments/rlp/sandbox.py --seeds 0 1 2 3 4.
"""

import numpy as np

from experiments import reading
from experiments.rlp import sandbox
from rlhf_jax.evaluation import plots, win_rate
from rlhf_jax.experiment import measuring

POLICIES = ('rlp_uml', 'rlp_spg')


def rates(chains, policy):
  """{kind: win rate against PPO}, all prompts first."""
  runs = [
    (measuring.answer(chain, policy), measuring.answer(chain, 'ppo'))
    for chain in chains
  ]
  credits = [win_rate.credits_by('gold', *run) for run in runs]
  prompts = [mine.prompts for mine, _ in runs]
  kinds = [np.array([p.kind for p in asked]) for asked in prompts]
  found = {'all prompts': pooled(credits, prompts)}
  for kind in sorted(set(kinds[0])):
    places = [np.flatnonzero(own == kind) for own in kinds]
    found[kind] = pooled(
      [c[rows] for c, rows in zip(credits, places, strict=True)],
      [
        [asked[row] for row in rows]
        for asked, rows in zip(prompts, places, strict=True)
      ],
    )
  return found


def pooled(credits, prompts):
  """The win rate over seeds, or of the one there is."""
  if len(credits) == 1:
    return win_rate.estimate(credits[0], prompts[0])
  return win_rate.pool(credits, prompts)


def main():
  """Prints a line a kind; writes the numbers and the figure."""
  options = reading.arguments(__doc__, 'runs/rlp/by_kind')
  chains = [
    reading.chain_of(sandbox, seed, options, needed=POLICIES, answering={})
    for seed in options.seeds
  ]
  found = {policy: rates(chains, policy) for policy in POLICIES}
  print(f'{"against PPO":14}' + ''.join(f'{policy:>22}' for policy in POLICIES))
  for kind in found[POLICIES[0]]:
    cells = (found[policy][kind] for policy in POLICIES)
    print(
      f'{kind:14}'
      + ''.join(
        f'{f"{c.value:.2f} [{c.low:.2f}, {c.high:.2f}]":>22}' for c in cells
      )
    )
  reading.write(
    options.out,
    'against_ppo',
    {
      policy: {kind: rate.value for kind, rate in own.items()}
      for policy, own in found.items()
    },
    lambda path: plots.win_rates_by_kind(path, found, 'ppo'),
  )


if __name__ == '__main__':
  main()
