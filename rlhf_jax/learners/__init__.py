"""Parameters and a batch to new parameters."""

from rlhf_jax.learners import (
  likelihood,
  listwise,
  pairwise,
  policy_gradient,
  ranking,
  reward,
  unpaired,
)

__all__ = [
  'likelihood',
  'listwise',
  'pairwise',
  'policy_gradient',
  'ranking',
  'reward',
  'unpaired',
]
