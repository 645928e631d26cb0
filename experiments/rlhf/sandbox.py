"""Claim: PPO against a learnt reward beats SFT (Ouyang et al. 2022, fig. 1).

SFT, preferences, reward model, PPO, end to end in the sandbox. Holds if the
95 % interval of PPO's win rate over SFT lies above 0.5, judged by gold.
Run: python -m launch.train experiments/rlhf/sandbox.py --set seed=1
"""

from experiments import sandbox_chain
from rlhf_jax.experiment import Experiment

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  return sandbox_chain.experiment(
    settings,
    title='RLHF in the sandbox',
    stages=sandbox_chain.feedback_stages(settings)
    | sandbox_chain.ppo_stages(settings),
    contrasts={'PPO beats SFT': ('ppo', 'sft')},
  )
