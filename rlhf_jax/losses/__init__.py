"""Published objectives: one function each, one number per example or token."""

from rlhf_jax.losses import (
  listwise,
  multi_view,
  objective,
  pairwise,
  policy_gradient,
  supervised,
)
