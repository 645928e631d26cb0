"""Bounds on the mutual information of two views, from a critic of pairs.

The critic gives scores [N, M] of pairs (first view of i, second view of j). The
pairs under the mask `positives` are drawn from the joint distribution p, those
under `negatives` from the product of the marginals q; the others may hold
anything, NaN included. A bound is in nats and to be maximised: finite for all
finite scores, and 0 without gradient where there are no positives or no
negatives.

Inside a shard_map over `axis_name` each shard holds its rows [N] against all
columns [M], and every shard returns the bound of the whole batch.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import divergences

_bound = functools.partial(jax.jit, static_argnames='axis_name')


def positive_pairs(mask: chex.Array) -> chex.Array:
  """[B, B] bool, each row of mask [B] with itself."""
  chex.assert_rank(mask, 1)
  chex.assert_type(mask, bool)
  return jnp.eye(mask.shape[0], dtype=bool) & mask[:, None]


def negative_pairs(prompt_ids: chex.Array, mask: chex.Array) -> chex.Array:
  """[B, B] bool, rows of mask [B] whose prompts [B] differ.

  Two rows of one prompt are left out: they are no draw from the marginals.
  """
  chex.assert_rank([prompt_ids, mask], 1)
  chex.assert_type([prompt_ids, mask], [int, bool])
  chex.assert_equal_shape([prompt_ids, mask])
  differ = prompt_ids[:, None] != prompt_ids[None, :]
  return differ & mask[:, None] & mask[None, :]


def rolled_pairs(
  prompt_ids: chex.Array, mask: chex.Array, *, shift: int = 1
) -> chex.Array:
  """[B, B] bool, those `negative_pairs` that are (i, i + shift mod B).

  Source: Federici et al. 2020, the released code, of one negative a row.
  """
  itself = jnp.eye(mask.shape[0], dtype=bool)
  negatives = negative_pairs(prompt_ids, mask)
  return negatives & jnp.roll(itself, shift, axis=1)


@_bound
def jensen_shannon(
  scores: chex.Array,
  positives: chex.Array,
  negatives: chex.Array,
  *,
  axis_name: str | None = None,
) -> chex.Array:
  """E_p[−softplus(−T)] − E_q[softplus(T)], at best 2 JS(p ‖ q) − 2 log 2.

  A surrogate for the information and no bound on it: −2 times the cross-entropy
  of a classifier of pairs, and so below 0. It is largest at T = log p/q, and
  its gradient in the scores is bounded.

  Args:
    scores: [N, M] float.
    positives: [N, M] bool.
    negatives: [N, M] bool.
    axis_name: of a shard_map, or None.

  Returns:
    [] in nats.

  Source: Hjelm et al. 2019 (Deep InfoMax), eq. 4.
  """
  scores = _counted(scores, positives, negatives)
  joint = _mean(-jax.nn.softplus(-scores), positives, axis_name)
  product = _mean(jax.nn.softplus(scores), negatives, axis_name)
  return _gate(joint - product, positives, negatives, axis_name)


@_bound
def nwj(
  scores: chex.Array,
  positives: chex.Array,
  negatives: chex.Array,
  *,
  axis_name: str | None = None,
) -> chex.Array:
  """E_p[T] − E_q[exp(T − 1)] [], at best I, where T = 1 + log p/q.

  The exponential goes on as its tangent where it would leave float32.

  Source: Nguyen, Wainwright and Jordan 2010; named so in Poole et al. 2019.
  """
  scores = _counted(scores, positives, negatives)
  joint = _mean(scores, positives, axis_name)
  product = _mean(divergences.tangent_exp(scores - 1.0), negatives, axis_name)
  return _gate(joint - product, positives, negatives, axis_name)


def nwj_read_out(
  scores: chex.Array,
  positives: chex.Array,
  negatives: chex.Array,
  *,
  axis_name: str | None = None,
) -> chex.Array:
  """`nwj` [] of 1 + T, for a critic T that was trained by `jensen_shannon`.

  An estimate of the information to log, in nats; no gradient flows. T is
  clipped at 20, which is another critic and still gives a bound. The variance
  grows as e^I.

  Source: Federici et al. 2020, the released code's report.
  """
  chex.assert_type(scores, float)
  scores = 1.0 + jnp.minimum(scores.astype(jnp.float32), 20.0)
  bound = nwj(scores, positives, negatives, axis_name=axis_name)
  return jax.lax.stop_gradient(bound)


@_bound
def info_nce(
  scores: chex.Array,
  positives: chex.Array,
  negatives: chex.Array,
  *,
  axis_name: str | None = None,
) -> chex.Array:
  """The mean over positives of log (1 + n) e^T / (e^T + Σ e^T′) [].

  T′ are the n negatives of the positive's row. At most log(1 + n); a positive
  without negatives counts as 0. Transpose all three arrays for columns.

  Source: van den Oord et al. 2018, eq. 4, taken from its ceiling.
  """
  scores = _counted(scores, positives, negatives)
  rivals, count = _log_sum_exp(scores, negatives, axis=-1)
  each = jnp.log1p(count) - jax.nn.softplus(rivals - scores)
  each = jnp.where(jnp.any(negatives, axis=-1, keepdims=True), each, 0.0)
  bound = _mean(each, positives, axis_name)
  return _gate(bound, positives, negatives, axis_name)


def _counted(scores, positives, negatives):
  """Scores in float32, 0 under neither mask."""
  chex.assert_rank([scores, positives, negatives], 2)
  chex.assert_type([scores, positives, negatives], [float, bool, bool])
  chex.assert_equal_shape([scores, positives, negatives])
  return jnp.where(positives | negatives, scores.astype(jnp.float32), 0.0)


def _over_shards(x, axis_name):
  return x if axis_name is None else jax.lax.psum(x, axis_name)


def _mean(x, mask, axis_name):
  """Mean of x where mask is True, over all shards; 0 where nothing counts."""
  sums = jnp.sum(x, where=mask), jnp.sum(mask, dtype=jnp.float32)
  total, count = _over_shards(sums, axis_name)
  return total / jnp.maximum(count, 1.0)


def _gate(bound, positives, negatives, axis_name):
  """The bound, or 0 without gradient where one kind of pair is missing."""
  found = jnp.stack([jnp.sum(positives), jnp.sum(negatives)])
  return jnp.where(jnp.all(_over_shards(found, axis_name) > 0), bound, 0.0)


def _log_sum_exp(scores, mask, *, axis=None, axis_name=None):
  """log Σ e^T where mask is True, and how many; 0 and 1 where none is.

  Every exponent is 0 or less, those that do not count too: an infinity under
  False would come back as NaN in the gradient.
  """
  top = jnp.max(
    jax.lax.stop_gradient(scores),
    axis=axis,
    keepdims=True,
    where=mask,
    initial=-jnp.inf,
  )
  top = top if axis_name is None else jax.lax.pmax(top, axis_name)
  top = jnp.where(jnp.isfinite(top), top, 0.0)
  terms = jnp.exp(jnp.where(mask, scores - top, 0.0))
  sums = (
    jnp.sum(terms, axis=axis, keepdims=True, where=mask),
    jnp.sum(mask, axis=axis, keepdims=True, dtype=jnp.float32),
  )
  total, count = _over_shards(sums, axis_name)
  log_total = jnp.log(jnp.where(count > 0.0, total, 1.0)) + top
  return log_total, jnp.maximum(count, 1.0)
