"""Arrays to quantities: no parameters, no I/O."""

from rlhf_jax.kernels import (
  advantages,
  baselines,
  divergences,
  ensembles,
  exponentials,
  importance,
  length_bias,
  log_ratios,
  logps,
  masking,
  pair_weights,
  rewards,
  selection,
  splicing,
  token_masks,
)

__all__ = [
  'advantages',
  'baselines',
  'divergences',
  'ensembles',
  'exponentials',
  'importance',
  'length_bias',
  'log_ratios',
  'logps',
  'masking',
  'pair_weights',
  'rewards',
  'selection',
  'splicing',
  'token_masks',
]
