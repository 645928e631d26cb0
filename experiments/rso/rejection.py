"""Claim: pairs of the optimal policy beat SFT's, which beat people's.

Three losses (sigmoid-norm, hinge-norm, hinge without the reference) on three
data: the annotated preferences (direct), pairs of SFT samples (sft-sample-rank)
and pairs of samples accepted by rejection sampling (rso-sample-rank), the last
two ranked by the reward model (Liu et al. 2024, table 1); and rso-sample-rank
by a pairwise ranker. All have DPO's learning rate. Holds if rso beats sft beats
direct for each loss. To see why or why not: the direct pairs labelled anew by
the reward model, and annotated pairs that another author wrote; and
`python -m experiments.readings.rso_labels 0 1 2`.
Run: python -m launch.seeds experiments/rso/rejection.py --seeds 0 1 2
"""

from experiments import sandbox_chain
from experiments.sandbox_chain import ranked
from rlhf_jax.experiment import Experiment

Settings = sandbox_chain.Settings
CONTRASTS = {
  f'{loss}: {ours} beats {theirs}': (f'{loss}_{ours}', f'{loss}_{theirs}')
  for loss in ranked.LOSSES
  for ours, theirs in (('rso', 'sft'), ('sft', 'direct'), ('rso', 'direct'))
} | {
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
}


def config(settings: Settings) -> Experiment:
  return sandbox_chain.experiment(
    settings,
    title='Rejection sampling for preference pairs',
    stages=sandbox_chain.feedback_stages(settings)
    | ranked.ranker_stages(settings)
    | ranked.rso_pair_stages()
    | ranked.relabelled_stages()
    | ranked.rso_arms(settings),
    contrasts=CONTRASTS,
  )
