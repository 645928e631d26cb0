"""Parameters and a batch to new parameters."""

from rlhf_jax.learners import (
  attributes,
  likelihood,
  listwise,
  pairwise,
  policy_gradient,
  ranking,
  reward,
  unpaired,
)
