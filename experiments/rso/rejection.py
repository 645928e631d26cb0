"""Claim: pairs of the optimal policy beat SFT's, which beat people's.

Three losses (sigmoid-norm, hinge-norm, hinge without the reference) on three
data: the annotated preferences (direct), pairs of SFT samples (sft-sample-rank)
and pairs of samples accepted by rejection sampling (rso-sample-rank), the last
two ranked by the reward model (Liu et al. 2024, table 1); and rso-sample-rank
by a pairwise ranker. All have DPO's learning rate. Holds if rso beats sft beats
direct for each loss. To see why or why not: the direct pairs labelled anew by
the reward model, and annotated pairs that another author wrote.
Run: python -m launch.seeds experiments/rso/rejection.py --seeds 0 1 2
"""

import functools

from experiments import sandbox_chain
from rlhf_jax.experiment import Experiment
from rlhf_jax.generation import judging
from rlhf_jax.losses import pairwise
from rlhf_jax.methods import ranker, rso

Settings = sandbox_chain.Settings
LOSSES = {
  'sigmoid_norm': functools.partial(pairwise.dpo, beta=0.1),
  'hinge_norm': functools.partial(pairwise.hinge_norm, beta=0.1),
  'hinge': functools.partial(pairwise.hinge, beta=0.1),
}
DATA = {'direct': 'preferences', 'sft': 'sft_pairs', 'rso': 'rso_pairs'}
OTHER_DATA = {
  'ranker': 'ranker_pairs',
  'written': 'comparisons',
  'relabelled': 'relabelled_pairs',
}


def config(settings: Settings) -> Experiment:
  stages = sandbox_chain.feedback_stages(settings)
  stages |= ranker.stages(
    ranker.Config(**sandbox_chain.tuned(settings, 2e-3, batch_size=64))
  )
  pairs = functools.partial(rso.Pairs, samples=32)
  stages |= rso.pair_stages(pairs())
  stages |= rso.pair_stages(pairs(select=rso.first), name='sft_pairs')
  stages |= rso.pair_stages(
    pairs(judge=judging.by_ranker), judge='ranker', name='ranker_pairs'
  )
  stages |= sandbox_chain.candidate_stages(
    settings,
    samples=0,
    data='preferences',
    policy=None,
    name='relabelled_pairs',
  )
  arms = [(loss, source) for loss in LOSSES for source in DATA]
  arms += [('sigmoid_norm', source) for source in OTHER_DATA]
  sources = DATA | OTHER_DATA
  for loss, source in arms:
    stages |= rso.stages(
      rso.Config(
        objective=LOSSES[loss],
        **sandbox_chain.tuned(settings, sandbox_chain.DPO_RATE),
      ),
      data=sources[source],
      name=f'{loss}_{source}',
    )
  contrasts = {}
  for loss in LOSSES:
    contrasts |= {
      f'{loss}: rso beats sft': (f'{loss}_rso', f'{loss}_sft'),
      f'{loss}: sft beats direct': (f'{loss}_sft', f'{loss}_direct'),
      f'{loss}: rso beats direct': (f'{loss}_rso', f'{loss}_direct'),
    }
  return sandbox_chain.experiment(
    settings,
    title='Rejection sampling for preference pairs',
    stages=stages,
    contrasts=contrasts
    | {
      'rso: hinge_norm beats hinge': ('hinge_norm_rso', 'hinge_rso'),
      'rso: sigmoid_norm beats hinge': ('sigmoid_norm_rso', 'hinge_rso'),
      'annotated own pairs beat annotated pairs of the author': (
        'sigmoid_norm_direct',
        'sigmoid_norm_written',
      ),
      "the annotators' labels beat the reward model's on the same pairs": (
        'sigmoid_norm_direct',
        'sigmoid_norm_relabelled',
      ),
      'a ranker beats the reward model': (
        'sigmoid_norm_ranker',
        'sigmoid_norm_rso',
      ),
    },
  )
