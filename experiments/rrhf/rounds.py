"""Claim: own samples in rounds beat own samples once, which beat fixed data.

RRHF on four responses by the demonstrations' author, on four samples of the SFT
policy, and on two more rounds of samples of the policy of the round before,
each training from SFT anew; one reward model ranks all (Yuan et al. 2023).
Run: python -m launch.seeds experiments/rrhf/rounds.py --seeds 0 1 2
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import candidate_stages, rrhf_stages
from rlhf_jax.experiment import Experiment

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  stages = sandbox_chain.feedback_stages(settings)
  stages |= candidate_stages(
    settings, samples=0, data='written', policy=None, name='fixed_candidates'
  )
  stages |= rrhf_stages(settings, data='fixed_candidates', name='rrhf_fixed')
  stages |= candidate_stages(settings) | rrhf_stages(settings)
  policy = 'rrhf'
  for turn in (2, 3):
    data, name = f'candidates_round_{turn}', f'rrhf_round_{turn}'
    stages |= candidate_stages(settings, policy=policy, name=data)
    stages |= rrhf_stages(settings, data=data, name=name)
    policy = name
  return sandbox_chain.experiment(
    settings,
    title="RRHF's three sources of candidates",
    stages=stages,
    contrasts={
      'one round of own samples beats fixed data': ('rrhf', 'rrhf_fixed'),
      'two rounds beat one': ('rrhf_round_2', 'rrhf'),
      'three rounds beat one': ('rrhf_round_3', 'rrhf'),
    },
  )
