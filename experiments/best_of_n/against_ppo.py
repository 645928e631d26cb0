"""Claim: the best of n rivals PPO, and seldom loses to its own distillation.

Best of 4 and of 16 of the SFT policy by the reward model that PPO learns from
(Dubois et al. 2023, AlpacaFarm: about level with PPO), and SFT on the best of
16 to each training prompt, expert iteration. Holds if best of 16 wins no less
than half against PPO, and against expert iteration. The whole curve up to 64
on one KL axis with PPO's training:
`python -m experiments.readings.best_of_n_kl_axis 0 1 2`.
Run: python -m launch.seeds experiments/best_of_n/against_ppo.py --seeds 0 1 2
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import choosing
from rlhf_jax.experiment import Experiment, PolicyVariant

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  return sandbox_chain.experiment(
    settings,
    title='Best of n against PPO',
    stages=sandbox_chain.feedback_stages(settings)
    | sandbox_chain.tuned_ppo_stages(settings)
    | choosing.expert_stages(settings),
    variants={
      f'best_of_{n}': PolicyVariant(policy='sft', best_of=n) for n in (4, 16)
    },
    contrasts={
      'best of 16 beats best of 4': ('best_of_16', 'best_of_4'),
      'best of 4 beats PPO': ('best_of_4', 'ppo'),
      'best of 16 beats PPO': ('best_of_16', 'ppo'),
      'best of 16 beats expert iteration': ('best_of_16', 'expert_iteration'),
      'expert iteration beats SFT': ('expert_iteration', 'sft'),
    },
  )
