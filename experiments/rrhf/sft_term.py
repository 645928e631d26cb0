"""Claim: RRHF matches PPO, and needs both its rank loss and its SFT term.

RRHF whole, its rank loss alone, and SFT on the best candidate alone, on the
same four samples to each prompt, against PPO (Yuan et al. 2023; that the
rank loss alone collapses is others' finding). Holds if RRHF is not below PPO
and beats both of its halves.
Run: python -m launch.seeds experiments/rrhf/sft_term.py --seeds 0 1 2
"""

import functools

from experiments import sandbox_chain
from experiments.sandbox_chain import rrhf_stages
from rlhf_jax.experiment import Experiment
from rlhf_jax.losses import listwise

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  return sandbox_chain.experiment(
    settings,
    title='RRHF with and without its SFT term',
    stages=sandbox_chain.feedback_stages(settings)
    | sandbox_chain.ppo_stages(settings)
    | sandbox_chain.candidate_stages(settings)
    | rrhf_stages(settings)
    | rrhf_stages(
      settings,
      objective=functools.partial(listwise.rrhf_ranking, length_exponent=1.0),
      name='rrhf_rank_alone',
    )
    | rrhf_stages(
      settings,
      objective=functools.partial(listwise.rrhf, rank_coef=0.0),
      name='rrhf_sft_alone',
    ),
    contrasts={
      'RRHF beats PPO': ('rrhf', 'ppo'),
      'RRHF beats its rank loss alone': ('rrhf', 'rrhf_rank_alone'),
      'RRHF beats SFT on the best alone': ('rrhf', 'rrhf_sft_alone'),
      'SFT on the best alone beats the rank loss alone': (
        'rrhf_sft_alone',
        'rrhf_rank_alone',
      ),
    },
  )
