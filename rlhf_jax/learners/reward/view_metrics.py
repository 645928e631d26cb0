"""What is logged of two views' latents, and whether they have collapsed."""

import math
from collections.abc import Mapping

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import bottleneck
from rlhf_jax.types import Mean, Metrics
from rlhf_jax.types.rules import NonNegative, Share

# A critic that scores all pairs 0 has learnt nothing: −2 log 2.
UNTRAINED = -2.0 * math.log(2.0)
ACTIVE_VARIANCE = 0.01  # Over prompts, of the mean of a latent that is used.


def of(arrays: Mapping[str, chex.Array]) -> Metrics:
  """Metrics of the arrays that `multi_view.arrays_for` has.

  `information` is the critic's read-out, in nats; `skl` is summed over latents,
  in nats; `active_latents` are those whose mean over the two views varies over
  prompts; `critic_accuracy` is the mean of the shares of positive and of
  negative pairs that it tells apart.
  """
  arrays = jax.lax.stop_gradient(arrays)
  mask = arrays['mask']
  means, log_variances = arrays['means'], arrays['log_variances']
  (m1, m2), (l1, l2) = (jnp.unstack(x, axis=1) for x in (means, log_variances))
  counted = jnp.broadcast_to(mask[:, None, None], means.shape)
  spread = jnp.var(means.mean(axis=1), axis=0, where=mask[:, None])
  metrics = {
    'skl': Mean.of(bottleneck.symmetrised_kl(m1, l1, m2, l2), mask),
    'skl_coef': Mean.of(arrays['skl_coef']),
    'sigma': Mean.of(jnp.exp(0.5 * log_variances), counted),
    'active_latents': Mean.of(jnp.sum(spread > ACTIVE_VARIANCE)),
    'prompts_used': Mean.of(mask),
  }
  if 'view_scores' in arrays:
    scores = arrays['view_scores']
  elif 'input_scores' in arrays:
    scores = arrays['input_scores'][0]
  else:
    return metrics
  positives, negatives = arrays['positives'], arrays['negatives']
  rates = [
    Mean.of(right, pairs).value
    for right, pairs in ((scores > 0, positives), (scores < 0, negatives))
  ]
  found = {
    'jensen_shannon': bottleneck.jensen_shannon(scores, positives, negatives),
    'information': bottleneck.nwj_read_out(scores, positives, negatives),
    'critic_accuracy': 0.5 * sum(rates),
  }
  # A batch without a pair of either kind cannot rate the critic.
  compared = jnp.any(positives) & jnp.any(negatives)
  return metrics | {k: Mean.of(v, compared) for k, v in found.items()}


def collapse(
  row: Mapping[str, float],
  progress: float,
  *,
  after: Share = 0.3,
  within: NonNegative = 0.01,
) -> str | None:
  """A sentence where the latents tell nothing of each other, or None.

  Args:
    row: of metrics.
    progress: share of the steps that are done, in [0, 1].
    after: share of the steps before which the critic may still be untrained.
    within: nats, how near the objective is to that of a critic of zeros.
  """
  value = row.get('jensen_shannon', math.nan)
  near = math.isfinite(value) and abs(value - UNTRAINED) <= within
  if progress < after or not near:
    return None
  return (
    f'the views tell nothing of each other (Jensen–Shannon objective '
    f'{value:.3f}, that of no information is {UNTRAINED:.3f}): raise the '
    "bottleneck's learning rate and, where skl_coef counts, lower it or let "
    'its schedule start lower and rise later'
  )
