"""Claim: pairs of the policy's own samples teach more than another's.

DPO on pairs sampled from the SFT policy, and on pairs written by a weaker, a
middling and a stronger author, as many of each, all labelled by one annotator
(Tajwar et al. 2024). Holds if own pairs win against the others.
Run: python -m launch.seeds experiments/dpo/own_pairs.py --seeds 0 1 2
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import dpo_stages
from rlhf_jax.experiment import Experiment

Settings = sandbox_chain.Settings
AUTHORS = ('weak', 'medium', 'strong')


def config(settings: Settings) -> Experiment:
  stages = sandbox_chain.feedback_stages(settings) | dpo_stages(settings)
  for author in AUTHORS:
    stages |= dpo_stages(
      settings, data=f'{author}_comparisons', name=f'dpo_{author}'
    )
  return sandbox_chain.experiment(
    settings,
    title='Own pairs against those of others',
    stages=stages,
    contrasts={
      f"own pairs beat the {author} author's": ('dpo', f'dpo_{author}')
      for author in AUTHORS
    },
  )
