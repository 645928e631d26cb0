"""Claim: SLiC on ranked samples beats SLiC on people's pairs, and DPO them.

SLiC direct (anchored on the chosen response, on the demonstration of its
prompt, and not at all), SLiC on eight ranked samples with either anchor (the
demonstration or the best sample), and DPO on the same annotated pairs (Zhao et
al. 2023; Liu et al. 2024, table 1; Xu et al. 2024 for DPO above SLiC).
Holds if sample-rank beats direct, each anchored on its best, the anchors do not
differ, and DPO beats SLiC direct.
Run: python -m launch.seeds experiments/slic/against_dpo.py --seeds 0 1 2
"""

import functools

from experiments import sandbox_chain, sandbox_rl
from experiments.sandbox_chain import slic_stages
from rlhf_jax import sandbox
from rlhf_jax.experiment import Experiment
from rlhf_jax.generation import judging
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import slic

Settings = sandbox_chain.Settings


def config(settings: Settings) -> Experiment:
  stages = sandbox_chain.feedback_stages(settings)
  stages |= sandbox_chain.dpo_stages(settings) | sandbox_rl.ppo_stages(settings)
  stages |= slic_stages(settings, name='slic_direct')
  stages |= slic_stages(settings, likelihood_coef=0.0, name='slic_unanchored')
  compared = slic.Pairs(
    samples=2,
    judge=functools.partial(
      judging.by_annotator, annotate=sandbox.Annotator().annotate
    ),
    pair=slic.tournament,
    count=settings.pairs,
    sampling=Sampling(temperature=1.0),
  )
  stages |= slic.pair_stages(compared, name='compared_pairs')
  stages |= slic_stages(
    settings, data='compared_pairs', name='slic_direct_demonstrated'
  )
  pairs = functools.partial(slic.Pairs, count=3 * settings.pairs)
  for anchor in (slic.demonstrated, slic.best_sampled):
    data = f'slic_pairs_{anchor.__name__}'
    stages |= slic.pair_stages(pairs(target=anchor), name=data)
    stages |= slic_stages(settings, data=data, name=f'slic_{anchor.__name__}')
  return sandbox_chain.experiment(
    settings,
    title='SLiC against DPO',
    stages=stages,
    contrasts={
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
      'SLiC anchored on the best sample beats PPO': (
        'slic_best_sampled',
        'ppo',
      ),
      'SLiC anchored on demonstrations beats PPO': ('slic_demonstrated', 'ppo'),
    },
  )
