"""Published objectives: one function each, one number per example or token."""

from rlhf_jax.losses import (
  likelihood,
  listwise,
  multi_view,
  objective,
  pairwise,
  policy_gradient,
  regression,
  value,
)

__all__ = [
  'likelihood',
  'listwise',
  'multi_view',
  'objective',
  'pairwise',
  'policy_gradient',
  'regression',
  'value',
]
