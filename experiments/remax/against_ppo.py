"""Claim: ReMax matches PPO without a critic, in less time and memory.

From one SFT policy and reward model, 40 rounds of 128 responses each: PPO,
ReMax as in the paper and as in its released code (Li et al. 2024). ReMax
answers each prompt a second time, greedily, and takes one step a round where
PPO takes four. Holds if the 95 % interval of ReMax's win rate against PPO
reaches one half.
Seconds a round, memory and the noise of gradients are read by
`python -m experiments.readings.remax_seconds 0 1 2`, and likewise by
`remax_memory` and `remax_variance` there.
Run: python -m launch.seeds experiments/remax/against_ppo.py --seeds 0 1 2
"""

from experiments import sandbox_chain
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods import remax

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  return sandbox_chain.experiment(
    settings,
    title='ReMax against PPO',
    stages=sandbox_chain.feedback_stages(settings)
    | sandbox_chain.tuned_ppo_stages(settings)
    | sandbox_chain.remax_stages(settings)
    | sandbox_chain.remax_stages(
      settings, make=remax.released, name='remax_released'
    ),
    contrasts={
      'ReMax beats PPO': ('remax', 'ppo'),
      'ReMax as released beats PPO': ('remax_released', 'ppo'),
      "the paper's ReMax beats the released code's": (
        'remax',
        'remax_released',
      ),
    },
  )
