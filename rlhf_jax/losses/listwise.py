"""Objectives over K candidates of one prompt, the best one first.

They rank candidates by log-prob per token under the policy; no reference is
read. All take

  policy_logps: [..., K] log-prob of each whole response, in nats.
  lengths: [..., K] tokens of each, as floats; 0 counts as 1.
  candidate_mask: [..., K] bool; candidates under False do not count, and may
    hold anything, NaN included.
"""

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.types.rules import NonNegative


def rrhf_ranking(
  policy_logps: chex.Array,
  lengths: chex.Array,
  order: chex.Array,
  candidate_mask: chex.Array,
  *,
  length_exponent: NonNegative = 1.0,
) -> chex.Array:
  """Hinge loss of the wrongly ranked pairs of candidates; one per list.

  Σ max(0, pᵢ − pⱼ) over the pairs in which j is the better one, where
  pᵢ = log π(yᵢ) / |yᵢ|^α. A sum, with no margin: the loss is 0 once the policy
  ranks as `order` does, and a pair of equal pᵢ has no gradient.

  Args:
    order: [..., K] larger is better; equal ones are no pair.
    length_exponent: α; 1 ranks means, 0 sums. More favours longer responses,
      as a log-prob is negative.

  Returns:
    [...] losses in nats per token (where α is 1), not averaged.

  Source: Yuan et al. 2023 (RRHF), eqs. 1 and 2. The released code divides by
  the padded width in the place of |y|, which is the same for all candidates.
  """
  _check([policy_logps, lengths, order], candidate_mask)
  p = _per_token(policy_logps, lengths, candidate_mask, length_exponent)
  excess = p[..., :, None] - p[..., None, :]
  worse = order[..., :, None] < order[..., None, :]
  pairs = worse & candidate_mask[..., :, None] & candidate_mask[..., None, :]
  # The gradient of relu at 0 is 0; that of maximum would be a half.
  return jnp.sum(jax.nn.relu(excess), axis=(-2, -1), where=pairs)


def rrhf(
  policy_logps: chex.Array,
  lengths: chex.Array,
  order: chex.Array,
  candidate_mask: chex.Array,
  *,
  rank_coef: NonNegative = 1.0,
  length_exponent: NonNegative = 1.0,
) -> chex.Array:
  """Ranks the candidates and imitates the best one; one loss per list.

  c · `rrhf_ranking` − log π(y₁). The second term is a sum over tokens; without
  it the policy is known to collapse.

  Args:
    order: [..., K] larger is better, so none is larger than the first.
    rank_coef: c. The paper found 10 and 100 worse than 1.
    length_exponent: as in `rrhf_ranking`.

  Returns:
    [...] losses in nats, not averaged; 0 for a list masked whole.

  Source: Yuan et al. 2023 (RRHF), eqs. 1 and 2 and the sum with the
  fine-tuning loss after them.
  """
  ranking = rrhf_ranking(
    policy_logps,
    lengths,
    order,
    candidate_mask,
    length_exponent=length_exponent,
  )
  return rank_coef * ranking - _best(policy_logps, candidate_mask)


def plackett_luce(
  policy_logps: chex.Array, lengths: chex.Array, candidate_mask: chex.Array
) -> chex.Array:
  """Negative log-likelihood of the whole ranking; one loss per list.

  −Σₖ log exp(sₖ) / Σᵢ≥ₖ exp(sᵢ) with s = log π(y) / |y|: the first is chosen
  among all, the second among the others, and so on.

  Returns:
    [...] losses in nats, not averaged, a sum over the K − 1 choices.

  Source: Song et al. 2023 (PRO), the objective without temperatures; Plackett
  1975.
  """
  _check([policy_logps, lengths], candidate_mask)
  s = _per_token(policy_logps, lengths, candidate_mask)
  later = _later(candidate_mask)
  return _contrast(s[..., None, :] - s[..., :, None], later)


def pro_ranking(
  policy_logps: chex.Array,
  lengths: chex.Array,
  scores: chex.Array,
  candidate_mask: chex.Array,
) -> chex.Array:
  """`plackett_luce` with score gaps as inverse temperatures; one per list.

  −Σₖ log exp(gₖₖ sₖ) / (exp(gₖₖ sₖ) + Σᵢ>ₖ exp(gₖᵢ sᵢ)) with the gaps
  gₖᵢ = rₖ − rᵢ, gₖₖ = maxᵢ>ₖ gₖᵢ, and s = log π(y) / |y|. A tie still adds a
  term, exp(0), to the sum.

  Args:
    scores: [..., K] in reward units, not increasing; taken as constants.

  Returns:
    [...] losses in nats, not averaged, a sum over the K − 1 choices.

  Source: Song et al. 2023 (PRO), the objective with temperatures. The released
  code adds 1e-10 inside the log, which is larger than some of its terms.
  """
  _check([policy_logps, lengths, scores], candidate_mask)
  s = _per_token(policy_logps, lengths, candidate_mask)
  scores = jax.lax.stop_gradient(jnp.where(candidate_mask, scores, 0.0))
  later = _later(candidate_mask)
  gaps = scores[..., :, None] - scores[..., None, :]
  largest = jnp.max(gaps, axis=-1, where=later, initial=-jnp.inf)
  largest = jnp.where(jnp.any(later, axis=-1), largest, 0.0)
  return _contrast(gaps * s[..., None, :] - (largest * s)[..., None], later)


def pro(
  policy_logps: chex.Array,
  lengths: chex.Array,
  scores: chex.Array,
  candidate_mask: chex.Array,
  *,
  sft_coef: NonNegative = 0.05,
) -> chex.Array:
  """Ranks the candidates and imitates the best one; one loss per list.

  `pro_ranking` − c (K − 1)² log π(y₁), K being the number of candidates that
  count. The second term is a sum over tokens.

  Args:
    scores: as in `pro_ranking`.
    sft_coef: c.

  Returns:
    [...] losses in nats, not averaged; 0 for a list of one candidate.

  Source: Song et al. 2023 (PRO), the objective with temperatures and its
  fine-tuning loss; (K − 1)² as in the released scripts.
  """
  ranking = pro_ranking(policy_logps, lengths, scores, candidate_mask)
  rivals = jnp.maximum(jnp.sum(candidate_mask, axis=-1) - 1.0, 0.0)
  return ranking - sft_coef * rivals**2 * _best(policy_logps, candidate_mask)


def _check(arrays, candidate_mask):
  chex.assert_type(arrays, float)
  chex.assert_type(candidate_mask, bool)
  chex.assert_equal_shape([*arrays, candidate_mask])


def _per_token(logps, lengths, mask, exponent=1.0):
  """[..., K] log-prob over length ** exponent, 0 where masked."""
  lengths = jnp.where(mask, jnp.maximum(lengths, 1.0), 1.0)
  return jnp.where(mask, logps, 0.0) / lengths**exponent


def _best(logps, mask):
  """[...] log-prob of the first candidate that counts; 0 where none does."""
  first = mask & (jnp.cumsum(mask, axis=-1) == 1)
  return jnp.sum(logps, axis=-1, where=first)


def _later(mask):
  """[..., k, i] whether i is ranked below k and both count."""
  below = jnp.triu(jnp.ones((mask.shape[-1],) * 2, bool), 1)
  below = jnp.broadcast_to(below, (*mask.shape, mask.shape[-1]))
  return below & mask[..., :, None] & mask[..., None, :]


def _contrast(excess, later):
  """[...] Σₖ log(1 + Σᵢ exp(excess[k, i])) over the i that are later.

  As log-sum-exp with exp(0) on the diagonal, so that a row without later
  candidates gives 0, and no gradient.
  """
  itself = jnp.broadcast_to(jnp.eye(later.shape[-1], dtype=bool), later.shape)
  excess = jnp.where(later, excess, jnp.where(itself, 0.0, -jnp.inf))
  return jnp.sum(jax.nn.logsumexp(excess, axis=-1), axis=-1)
