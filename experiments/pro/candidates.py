"""Claim: PRO gains from longer rankings, and beats RRHF and PPO.

PRO on two, three and five samples of the SFT policy to each prompt, scored and
ranked by the reward model, RRHF on the same five, and PPO (Song et al.
2023). Holds if five beat two and PRO beats the others.
Run: python -m launch.seeds experiments/pro/candidates.py --seeds 0 1 2
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import candidate_stages, pro_stages, rrhf_stages
from rlhf_jax.experiment import Experiment

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  stages = sandbox_chain.feedback_stages(settings)
  stages |= sandbox_chain.ppo_stages(settings)
  for samples in (2, 3, 5):
    data = f'candidates_{samples}'
    stages |= candidate_stages(settings, samples=samples, name=data)
    stages |= pro_stages(settings, data=data, name=f'pro_{samples}')
  stages |= rrhf_stages(settings, data='candidates_5', name='rrhf_5')
  return sandbox_chain.experiment(
    settings,
    title='PRO by the number of candidates',
    stages=stages,
    contrasts={
      'PRO on five beats PRO on two': ('pro_5', 'pro_2'),
      'PRO on three beats PRO on two': ('pro_3', 'pro_2'),
      'PRO on five beats RRHF on five': ('pro_5', 'rrhf_5'),
      'PRO on five beats PPO': ('pro_5', 'ppo'),
      'RRHF on five beats PPO': ('rrhf_5', 'ppo'),
    },
  )
