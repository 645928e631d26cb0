"""Claim: pairs of strong over weak text beat imitating the strong, easy first.

From one SFT policy: more SFT on the strong author's text; DPO and SLiC on
strong over weak; DPO on strong over medium; and DPO on far pairs (strong over
weak) and near ones (strong over medium, medium over weak) mixed, from easy to
hard, and from hard to easy, as many of each in all three (Xu et al. 2024, arXiv
2310.02263). No annotator and no reward model is asked.
Run: python -m launch.seeds experiments/curriculum/tiers.py --seeds 0 1 2
"""

import functools

from experiments import sandbox_chain
from experiments.sandbox_chain import dpo_stages
from rlhf_jax.data import curriculum as curricula
from rlhf_jax.data.curriculum import Curriculum
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods import curriculum, sft

Settings = sandbox_chain.Settings
PAIRS = {
  'strong_weak': ((0, 2),),
  'strong_medium': ((0, 1),),
  'all': ((0, 2), (0, 1), (1, 2)),
}
ORDERS = {
  'easy_to_hard': curricula.easy_to_hard,
  'hard_to_easy': curricula.hard_to_easy,
  'mixed': curricula.uniform,
}


def config(settings: Settings) -> Experiment:
  stages = sandbox_chain.sft_stages(settings)
  stages |= sft.stages(
    sft.Config(**sandbox_chain.tuned(settings, 1e-3)),
    data='strong_demonstrations',
    start='sft',
    name='sft_strong',
  )
  for name, pairs in PAIRS.items():
    stages |= curriculum.stages(
      curriculum.Config(pairs=pairs), name=f'{name}_pairs'
    )
  for name in ('strong_weak', 'strong_medium'):
    stages |= dpo_stages(settings, data=f'{name}_pairs', name=f'dpo_{name}')
  stages |= sandbox_chain.slic_stages(
    settings, data='strong_weak_pairs', name='slic_strong_weak'
  )
  level = functools.partial(curricula.by_gap, edges=(2.0,))
  for name, mix in ORDERS.items():
    stages |= dpo_stages(
      settings,
      data='all_pairs',
      curriculum=Curriculum(level=level, mix=mix),
      name=f'dpo_{name}',
    )
  return sandbox_chain.experiment(
    settings,
    title='Pairs of authors of known strength',
    stages=stages,
    contrasts={
      'DPO on strong over weak beats SFT on strong': (
        'dpo_strong_weak',
        'sft_strong',
      ),
      'DPO beats SLiC': ('dpo_strong_weak', 'slic_strong_weak'),
      'far pairs beat near ones': ('dpo_strong_weak', 'dpo_strong_medium'),
      'easy to hard beats hard to easy': (
        'dpo_easy_to_hard',
        'dpo_hard_to_easy',
      ),
      'easy to hard beats mixed': ('dpo_easy_to_hard', 'dpo_mixed'),
      'easy to hard beats far pairs alone': (
        'dpo_easy_to_hard',
        'dpo_strong_weak',
      ),
    },
  )
