"""RLP against PPO by kind of prompt: the paper's figure 2, in the sandbox.

Run: python -m experiments.rlp.by_kind 0 1 2 3 4
after python -m launch.seeds experiments/rlp/sandbox.py --seeds 0 1 2 3 4.
"""

from experiments import reading
from experiments.rlp import sandbox
from rlhf_jax.evaluation import plots

POLICIES = ('rlp_uml', 'rlp_spg')


def rates(chains, policy):
  """{kind: win rate against PPO}, all prompts first."""
  kinds = {prompt.kind for prompt in chains[0].records('test_prompts')}
  return {'all prompts': reading.win_rate_of(chains, policy, 'ppo')} | {
    kind: reading.win_rate_of(chains, policy, 'ppo', kind=kind)
    for kind in sorted(kinds)
  }


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
