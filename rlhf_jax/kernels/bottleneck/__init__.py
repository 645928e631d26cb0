"""A multi-view information bottleneck: posteriors, pairs, bounds, schedules."""

from rlhf_jax.kernels.bottleneck.bounds import (
  info_nce,
  jensen_shannon,
  negative_pairs,
  nwj,
  nwj_read_out,
  positive_pairs,
  rolled_pairs,
)
from rlhf_jax.kernels.bottleneck.posteriors import (
  sample,
  sampled_symmetrised_kl,
  softplus_log_variance,
  symmetrised_kl,
  tanh_log_variance,
)
from rlhf_jax.kernels.bottleneck.schedules import constant, exponential, linear
