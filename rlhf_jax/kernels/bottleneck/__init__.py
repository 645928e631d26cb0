"""An information bottleneck: posteriors, pairs of views, bounds, schedules."""

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
  averaged_standard_normal_kl,
  sample,
  sampled_symmetrised_kl,
  softplus_log_variance,
  standard_normal_kl,
  symmetrised_kl,
  tanh_log_variance,
)
from rlhf_jax.kernels.bottleneck.schedules import constant, exponential, linear
