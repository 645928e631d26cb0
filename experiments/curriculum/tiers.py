"""Claim: pairs of strong over weak text beat imitating the strong, easy first.

From one SFT policy: more SFT on the strong author's text, at three rates; DPO
and SLiC on strong over weak, DPO also with β 1 and from the policy that SFT on
the strong gave; DPO on strong over medium; and DPO on far pairs (strong over
weak) and near ones (strong over medium, medium over weak) mixed, from easy to
hard, and from hard to easy, as many of each in all three (Xu et al. 2024, arXiv
2310.02263). No annotator and no reward model is asked.
Run: python -m launch.seeds experiments/curriculum/tiers.py --seeds 0 1 2
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import tiers
from rlhf_jax.data.curriculum import easy_to_hard, hard_to_easy, uniform
from rlhf_jax.experiment import Experiment

Settings = sandbox_chain.Settings
SFT_RATES = (3e-4, 1e-3, 3e-3)
CONTRASTS = {
  f'DPO on strong over weak beats SFT on strong at rate {rate}': (
    'dpo_strong_weak',
    f'sft_strong_{rate}',
  )
  for rate in SFT_RATES
} | {
  'the same with β 1': ('dpo_beta_1_strong_weak', 'sft_strong_0.001'),
  'DPO improves what SFT on strong gave': (
    'dpo_after_strong_weak',
    'sft_strong_0.001',
  ),
  'DPO beats SLiC': ('dpo_strong_weak', 'slic_strong_weak'),
  'far pairs beat near ones': ('dpo_strong_weak', 'dpo_strong_medium'),
  'easy to hard beats hard to easy': ('dpo_easy_to_hard', 'dpo_hard_to_easy'),
  'easy to hard beats mixed': ('dpo_easy_to_hard', 'dpo_mixed'),
  'easy to hard beats far pairs alone': ('dpo_easy_to_hard', 'dpo_strong_weak'),
}


def config(settings: Settings) -> Experiment:
  stages = sandbox_chain.sft_stages(settings)
  for rate in SFT_RATES:
    stages |= tiers.strong_sft_stages(settings, rate)
  stages |= tiers.pair_stages()
  stages |= tiers.fixed_stages(settings, after='sft_strong_0.001')
  orders = (
    ('easy_to_hard', easy_to_hard),
    ('hard_to_easy', hard_to_easy),
    ('mixed', uniform),
  )
  for name, mix in orders:
    stages |= tiers.ordered_stages(settings, mix, name=f'dpo_{name}')
  return sandbox_chain.experiment(
    settings,
    title='Pairs of authors of known strength',
    stages=stages,
    contrasts=CONTRASTS,
  )
