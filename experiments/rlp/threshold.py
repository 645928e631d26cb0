"""Claim: the confidence threshold is what makes synthetic pairs work.

RLP-SPG with γ from 0 to 0.9; the paper has 0.5 and 0 (Lang et al. 2024, table
5), and at 1 no prompt is left that has anything to reject. Holds if 0.5 beats
0. Acceptance, the share of pairs that gold agrees with, and the win rate by γ:
`python -m experiments.readings.rlp_pairs 0 1 2 3 4`.
Run: python -m launch.seeds experiments/rlp/threshold.py --seeds 0 1 2 3 4
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import rlp
from rlhf_jax.experiment import Experiment

Settings = sandbox_chain.Settings
GAMMAS = (0.0, 0.3, 0.5, 0.7, 0.9)


def policy_of(gamma: float) -> str:
  """The policy that learns from the reward model of this threshold."""
  return f'spg_{round(100 * gamma):02d}'


def config(settings: Settings) -> Experiment:
  retrained = {
    policy_of(gamma): rlp.spg_stages(
      settings, gamma=gamma, name=f'reward_model_{policy_of(gamma)}'
    )
    for gamma in GAMMAS
  }
  return sandbox_chain.experiment(
    settings,
    title='RLP-SPG by its threshold',
    stages=rlp.sampled_stages(settings) | rlp.arms(settings, retrained),
    scored_by='reward_model',
    contrasts={
      f'γ = 0.5 beats γ = {gamma}': ('spg_50', policy_of(gamma))
      for gamma in GAMMAS
      if gamma != 0.5
    },
  )
