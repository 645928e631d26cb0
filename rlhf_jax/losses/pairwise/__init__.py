"""Objectives over pairs, the preferred response first; a published one each.

`scores` are for reward models, all else for policies: `curves` of DPO's Δ, the
gap between log-ratios to a reference, the same `per_token`, with `imitation`
beside, where each side counts by itself (`anchored`), by other divergences than
KL (`f_divergences`), reading more of a pair than its order (`soft_labels`),
comparing whole batches (`transport`), and `reference_free`.
"""

from rlhf_jax.losses.pairwise.anchored import (
  apo_down,
  apo_zero,
  bco_pair,
  chosen_only,
  nca_pair,
  sppo_hard,
)
from rlhf_jax.losses.pairwise.curves import (
  discopop,
  dpo,
  hinge_norm,
  ipo_sum,
  robust_dpo,
)
from rlhf_jax.losses.pairwise.f_divergences import (
  dpo_alpha,
  dpo_forward_kl,
  dpo_jensen_shannon,
)
from rlhf_jax.losses.pairwise.imitation import dpo_with_likelihood
from rlhf_jax.losses.pairwise.per_token import dpo_mean, ipo_mean
from rlhf_jax.losses.pairwise.reference_free import (
  alphapo,
  cpo,
  hinge,
  odds_ratio,
  orpo,
  simpo,
  slic,
)
from rlhf_jax.losses.pairwise.scores import (
  bradley_terry,
  centering,
  scaled_bradley_terry,
)
from rlhf_jax.losses.pairwise.soft_labels import (
  dpo_soft_labels,
  exo_pair,
  rpo_backward_kl,
  rpo_forward_kl,
  rpo_hellinger,
  rpo_sq,
  rpo_total_variation,
)
from rlhf_jax.losses.pairwise.transport import aot, aot_unpaired
