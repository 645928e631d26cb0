"""Claim: SLiC on ranked samples beats SLiC on people's pairs, and DPO them.

SLiC direct (anchored on the chosen response, on the demonstration of its
prompt, and not at all), SLiC on eight ranked samples with either anchor (the
demonstration or the best sample), and DPO on the same annotated pairs (Zhao et
al. 2023; Liu et al. 2024, table 1; Xu et al. 2024 for DPO above SLiC).
Holds if sample-rank beats direct, each anchored on its best, the anchors do not
differ, and DPO beats SLiC direct.
Run: python -m launch.seeds experiments/slic/against_dpo.py --seeds 0 1 2
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import ranked
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods.slic import best_sampled, demonstrated

Settings = sandbox_chain.Settings
CONTRASTS = {
  'DPO beats SLiC direct': ('dpo', 'slic_direct'),
  'the anchor matters, direct': ('slic_direct', 'slic_unanchored'),
  'sample-rank beats direct': ('slic_best_sampled', 'slic_direct'),
  'direct, the chosen response anchors better than the demonstration': (
    'slic_direct',
    'slic_direct_demonstrated',
  ),
  'the best sample anchors better than the demonstration': (
    'slic_best_sampled',
    'slic_demonstrated',
  ),
  'SLiC anchored on the best sample beats PPO': ('slic_best_sampled', 'ppo'),
  'SLiC anchored on demonstrations beats PPO': ('slic_demonstrated', 'ppo'),
}


def config(settings: Settings) -> Experiment:
  slic = sandbox_chain.slic_stages
  stages = sandbox_chain.feedback_stages(settings)
  stages |= sandbox_chain.dpo_stages(settings)
  stages |= sandbox_chain.ppo_stages(settings)
  stages |= slic(settings, name='slic_direct')
  stages |= slic(settings, likelihood_coef=0.0, name='slic_unanchored')
  stages |= ranked.compared_stages(settings)
  stages |= slic(
    settings, data='compared_pairs', name='slic_direct_demonstrated'
  )
  for anchor in (demonstrated, best_sampled):
    name = anchor.__name__
    stages |= ranked.slic_pair_stages(settings, anchor)
    stages |= slic(settings, data=f'slic_pairs_{name}', name=f'slic_{name}')
  return sandbox_chain.experiment(
    settings, title='SLiC against DPO', stages=stages, contrasts=CONTRASTS
  )
