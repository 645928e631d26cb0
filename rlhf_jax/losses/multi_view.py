"""Contrastive objectives over two views of each prompt.

A view is a prompt with one of its responses. The masks `positives` and
`negatives` [B, B] are of the pairs (first view of i, second view of j) of one
prompt, and of two (kernels.bottleneck). Each function returns one loss [] of
the whole batch, which micro-batches do not add up to. It is 0, with no
gradient, where a batch has no positive or no negative pair. A view in no pair
may hold anything, NaN included.
"""

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import bottleneck, masking
from rlhf_jax.losses.objective import coupled
from rlhf_jax.types.rules import Positive


@coupled
def information_bottleneck(
  view_scores: chex.Array,
  means: chex.Array,
  log_variances: chex.Array,
  positives: chex.Array,
  negatives: chex.Array,
  mask: chex.Array,
  skl_coef: chex.Numeric,
) -> chex.Array:
  """Keeps what two views share and discards what only one of them has.

  −I(z₁; z₂) + β ½ [KL(p₁ ‖ p₂) + KL(p₂ ‖ p₁)], the information by
  `jensen_shannon`, the divergence summed over latents and averaged over
  prompts. The first term gains 2 log 2 at most, the second has no bound.

  Args:
    view_scores: [B, B] critic of z₁ of prompt i with z₂ of prompt j.
    means: [B, 2, d] of the two views' posteriors.
    log_variances: [B, 2, d] likewise.
    mask: [B] bool, prompts that count; what others hold may be NaN.
    skl_coef: β, [].

  Returns:
    [] in nats.

  Source: Lang et al. 2024 (RLP), the last term of eq. 1, where β is 1; Federici
  et al. 2020, whose β grows.
  """
  _check_views(means, log_variances)
  chex.assert_shape(mask, means.shape[:1])
  chex.assert_rank(skl_coef, 0)

  counted = jnp.broadcast_to(mask[:, None, None], means.shape)
  (m1, m2), (l1, l2) = (
    jnp.unstack(jnp.where(counted, x, 0.0), axis=1)
    for x in (means, log_variances)
  )
  divergences = bottleneck.symmetrised_kl(m1, l1, m2, l2)
  divergence = masking.masked_mean(divergences, mask)
  compared = jnp.any(positives) & jnp.any(negatives)
  penalty = jnp.where(compared, skl_coef * divergence, 0.0)
  return penalty + multi_view_information(view_scores, positives, negatives)


@coupled
def multi_view_information(
  view_scores: chex.Array, positives: chex.Array, negatives: chex.Array
) -> chex.Array:
  """−I(z₁; z₂) by `jensen_shannon`, with nothing discarded.

  Args:
    view_scores: [B, B] critic of z₁ of prompt i with z₂ of prompt j.

  Returns:
    [] in nats, above 0.

  Source: Bachman et al. 2019; the MVI ablation of Lang et al. 2024 (RLP).
  """
  return -bottleneck.jensen_shannon(view_scores, positives, negatives)


@coupled
def info_max(
  input_scores: chex.Array, positives: chex.Array, negatives: chex.Array
) -> chex.Array:
  """−I(z; v) by `jensen_shannon`, averaged over the two views.

  Args:
    input_scores: [2, B, B] critic, for each view, of z of prompt i with the
      encoder's input of prompt j, that input being a constant.

  Returns:
    [] in nats, above 0.

  Source: Hjelm et al. 2019 (Deep InfoMax), eq. 4; the InfoMax ablation of Lang
  et al. 2024 (RLP).
  """
  chex.assert_shape(input_scores, (2, *positives.shape))
  first, second = (
    bottleneck.jensen_shannon(scores, positives, negatives)
    for scores in input_scores
  )
  return -0.5 * (first + second)


@coupled
def contrastive(
  means: chex.Array,
  positives: chex.Array,
  negatives: chex.Array,
  *,
  temperature: Positive = 0.1,
) -> chex.Array:
  """Cross-entropy of telling a prompt's other view from other prompts' views.

  −log e^s⁺ / (e^s⁺ + Σ e^s⁻), s being the cosine of two means over the
  temperature; the mean over prompts and over both directions, first view to
  second and second to first.

  Args:
    means: [B, 2, d] of the two views' posteriors.
    temperature: > 0.

  Returns:
    [] in nats, 0 or more.

  Source: Chen et al. 2020 (SimCLR), eq. 1, between views only.
  """
  _check_views(means)
  pairs = positives | negatives
  counted = jnp.stack([jnp.any(pairs, 1), jnp.any(pairs, 0)], axis=1)
  means = jnp.where(counted[..., None], means.astype(jnp.float32), 0.0)
  # The root of 0 has an infinite gradient; a mean of 0 gets a zero direction.
  squares = jnp.sum(means**2, axis=-1, keepdims=True)
  directions = means * jax.lax.rsqrt(jnp.maximum(squares, 1e-24))
  first, second = jnp.unstack(directions, axis=1)
  scores = first @ second.T / temperature
  rows = _cross_entropy(scores, positives, negatives)
  columns = _cross_entropy(scores.T, positives.T, negatives.T)
  return 0.5 * (rows + columns)


def _cross_entropy(scores, positives, negatives):
  """Mean over positives of −log their share, log(1 + n) − `info_nce`."""
  rivals = jnp.sum(negatives, axis=-1, keepdims=True, dtype=jnp.float32)
  ceilings = jnp.broadcast_to(jnp.log1p(rivals), scores.shape)
  ceiling = masking.masked_mean(ceilings, positives)
  return ceiling - bottleneck.info_nce(scores, positives, negatives)


def _check_views(*arrays):
  chex.assert_type(arrays, float)
  chex.assert_shape(arrays, (None, 2, None))
  chex.assert_equal_shape(arrays)
