"""Arrays to quantities: no parameters, no I/O."""

from rlhf_jax.kernels import (
  advantages,
  divergences,
  importance,
  logps,
  masking,
  rewards,
)

__all__ = [
  'advantages',
  'divergences',
  'importance',
  'logps',
  'masking',
  'rewards',
]
