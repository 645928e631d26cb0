"""Claim: DPO does no worse than PPO at less KL, and β trades gold for KL.

DPO at four values of β and PPO, from one SFT policy and one set of preferences
(Rafailov et al. 2023). Holds if DPO's win rate against PPO is not below
0.5, and if KL and gold fall as β grows.
Run: python -m launch.seeds experiments/dpo/against_ppo.py --seeds 0 1 2
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import dpo_stages
from rlhf_jax.experiment import Experiment

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  return sandbox_chain.experiment(
    settings,
    title='DPO against PPO, and against its β',
    stages=sandbox_chain.feedback_stages(settings)
    | sandbox_chain.ppo_stages(settings)
    | dpo_stages(settings, beta=0.03, name='dpo_beta_0.03')
    | dpo_stages(settings)
    | dpo_stages(settings, beta=0.3, name='dpo_beta_0.3')
    | dpo_stages(settings, beta=1.0, name='dpo_beta_1'),
    contrasts={
      'DPO (β 0.1) beats PPO': ('dpo', 'ppo'),
      'DPO (β 0.03) beats PPO': ('dpo_beta_0.03', 'ppo'),
      'DPO (β 0.3) beats PPO': ('dpo_beta_0.3', 'ppo'),
      'DPO at β 0.1 beats β 1': ('dpo', 'dpo_beta_1'),
    },
  )
