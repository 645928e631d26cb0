"""Arrays to quantities: no parameters, no I/O."""

from rlhf_jax.kernels import (
  advantages,
  divergences,
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
)

__all__ = [
  'advantages',
  'divergences',
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
]
