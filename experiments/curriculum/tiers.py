"""Claim: pairs of strong over weak text beat imitating the strong, easy first.

From one SFT policy: more SFT on the strong author's text, at three rates; DPO
and SLiC on strong over weak, DPO also with β 1 and from the policy that SFT on
the strong gave; DPO on strong over medium; and DPO on far pairs (strong over
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
from rlhf_jax.training.optimizers import constant

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

SFT_RATES = (3e-4, 1e-3, 3e-3)


def config(settings: Settings) -> Experiment:
  stages = sandbox_chain.sft_stages(settings)
  for rate in SFT_RATES:
    stages |= sft.stages(
      sft.Config(**sandbox_chain.tuned(settings, rate)),
      data='strong_demonstrations',
      start='sft',
      name=f'sft_strong_{rate}',
    )
  for name, pairs in PAIRS.items():
    stages |= curriculum.stages(
      curriculum.Config(pairs=pairs), name=f'{name}_pairs'
    )
  # A rate that falls would weigh what comes first more than what comes last.
  for name in ('strong_weak', 'strong_medium'):
    stages |= dpo_stages(
      settings, data=f'{name}_pairs', decay=constant, name=f'dpo_{name}'
    )
  # Labels that are always the same way round ask for more restraint.
  for start, name in (('sft', 'dpo_beta_1'), ('sft_strong_0.001', 'dpo_after')):
    stages |= dpo_stages(
      settings,
      beta=1.0,
      data='strong_weak_pairs',
      start=start,
      decay=constant,
      name=f'{name}_strong_weak',
    )
  stages |= sandbox_chain.slic_stages(
    settings, data='strong_weak_pairs', name='slic_strong_weak'
  )
  level = functools.partial(curricula.by_gap, edges=(2.0,))
  for name, mix in ORDERS.items():
    stages |= dpo_stages(
      settings,
      data='all_pairs',
      curriculum=Curriculum(level=level, mix=mix),
      decay=constant,
      name=f'dpo_{name}',
    )
  return sandbox_chain.experiment(
    settings,
    title='Pairs of authors of known strength',
    stages=stages,
    contrasts={
      **{
        f'DPO on strong over weak beats SFT on strong at rate {rate}': (
          'dpo_strong_weak',
          f'sft_strong_{rate}',
        )
        for rate in SFT_RATES
      },
      'the same with β 1': ('dpo_beta_1_strong_weak', 'sft_strong_0.001'),
      'DPO improves what SFT on strong gave': (
        'dpo_after_strong_weak',
        'sft_strong_0.001',
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
