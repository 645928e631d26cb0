"""Evaluation: what each policy answered, judged, measured and reported.

`plots` is not imported here, since it needs matplotlib.
"""

from rlhf_jax.evaluation import (
  best_of_n,
  judges,
  length_control,
  off_distribution,
  pooling,
  preference_accuracy,
  report,
  reward_curve,
  statistics,
  summary,
  win_rate,
)
from rlhf_jax.evaluation.judges import Judge
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.evaluation.summary import Summary, summarise

__all__ = [
  'Judge',
  'PolicySamples',
  'Summary',
  'best_of_n',
  'judges',
  'length_control',
  'off_distribution',
  'pooling',
  'preference_accuracy',
  'report',
  'reward_curve',
  'statistics',
  'summarise',
  'summary',
  'win_rate',
]
