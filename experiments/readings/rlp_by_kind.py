"""RLP against PPO by kind of prompt: the paper's figure 2, in the sandbox.

Run: python -m experiments.readings.rlp_by_kind 0 1 2 3 4
after python -m launch.seeds experiments/rlp/published.py --seeds 0 1 2 3 4.
"""

from experiments.readings import runs, tables
from experiments.rlp import published
from rlhf_jax.evaluation import plots

POLICIES = ('rlp_uml', 'rlp_spg')


def rates(chains, policy):
  """{kind: win rate against PPO}, all prompts first."""
  kinds = {prompt.kind for prompt in chains[0].data.records('test_prompts')}
  return {'all prompts': runs.win_rate_of(chains, policy, 'ppo')} | {
    kind: runs.win_rate_of(chains, policy, 'ppo', kind=kind)
    for kind in sorted(kinds)
  }


def main():
  """Prints a line a kind; writes the numbers and the figure."""
  options = runs.arguments(__doc__, 'runs/rlp/by_kind')
  chains = runs.chains(published, options, needed=POLICIES)
  found = {policy: rates(chains, policy) for policy in POLICIES}
  tables.show(
    'against PPO',
    POLICIES,
    {
      kind: [tables.shown(found[policy][kind]) for policy in POLICIES]
      for kind in found[POLICIES[0]]
    },
  )
  runs.write(
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
