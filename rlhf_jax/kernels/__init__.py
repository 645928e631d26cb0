"""Arrays to quantities: no parameters, no I/O."""

from rlhf_jax.kernels import (
  advantages,
  baselines,
  bottleneck,
  clustering,
  distributions,
  divergences,
  ensembles,
  importance,
  length_bias,
  logps,
  masking,
  pair_gaps,
  pair_weights,
  rewards,
  selection,
  splicing,
  token_masks,
  views,
)
