"""Which candidates of a prompt are kept, by their scores.

`top` takes the best ones. The others sample towards the distribution
π* ∝ π exp(r / β) of `optimal_distribution`:

- `accept` is textbook rejection sampling. Candidates drawn from π are each
  accepted or not on their own, against one bound that no score of the prompt
  exceeds. Those accepted follow π* exactly; their number is random, and small
  where the bound is high.
- `rejection_sample` is the procedure of RSO: `count` of a pool, without
  replacement, against the largest score in the pool. Whether a candidate is
  accepted depends on the others and on its place among them, so that not even
  the first one follows exp(r / β) over the pool; π* is approached as the pool
  grows.

A candidate whose score is NaN counts as masked.
"""

import functools

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.types.rules import Count, Positive


@functools.partial(jax.jit, static_argnames='count')
def top(
  scores: chex.Array, candidate_mask: chex.Array, *, count: int
) -> tuple[chex.Array, chex.Array]:
  """The best candidates, the best one first and the earlier of equal ones.

  Args:
    scores: [..., N] in reward units; anything where masked.
    candidate_mask: [..., N] bool.
    count: how many, at most N; static.

  Returns:
    [..., count] int32 indices, and the mask [..., count] of those that are
    candidates: False at the end where there are fewer than `count`.
  """
  candidate_mask = _scored(scores, candidate_mask)
  if not 1 <= count <= scores.shape[-1]:
    raise ValueError(f'the best {count} of {scores.shape[-1]} candidates')
  scores = jnp.where(candidate_mask, scores, 0.0)
  best_first = jnp.lexsort((-scores, ~candidate_mask))[..., :count]
  kept = jnp.take_along_axis(candidate_mask, best_first, axis=-1)
  return best_first.astype(jnp.int32), kept


@jax.jit
def acceptance(
  scores: chex.Array, candidate_mask: chex.Array, *, beta: Positive
) -> chex.Array:
  """exp((r − max r) / β) [..., N], the probability of accepting a candidate.

  1 for the best, 0 where masked.

  Args:
    scores: [..., N] in reward units; anything where masked.
    candidate_mask: [..., N] bool.
    beta: > 0, in reward units; smaller leaves only the best, larger all.

  Source: Liu et al. 2024 (RSO), algorithm 1.
  """
  candidate_mask = _scored(scores, candidate_mask)
  scores = jnp.where(candidate_mask, scores, -jnp.inf)
  largest = jnp.max(scores, axis=-1, keepdims=True)
  # Equal scores first, as ∞ − ∞ is NaN.
  gaps = jnp.where(scores == largest, 0.0, scores - largest)
  chances = jnp.exp(gaps / beta)
  return jnp.where(candidate_mask, chances, 0.0)


@jax.jit
def accept(
  scores: chex.Array,
  bound: chex.Numeric,
  uniforms: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """Rejection sampling of independent candidates, u < exp((r − bound) / β).

  If the candidates were drawn from π and no response that π can give has a
  score above the bound, those accepted follow π exp(r / β) / Z exactly, and a
  share Z exp(−bound / β) of them is accepted. The largest score among the
  candidates is no such bound.

  Args:
    scores: [...] in reward units.
    bound: [], or [...] as the scores.
    uniforms: [...] independent draws from [0, 1).
    beta: > 0, in reward units.

  Returns:
    [...] bool.

  Source: von Neumann 1951; the target, Liu et al. 2024 (RSO).
  """
  chex.assert_type([scores, uniforms], float)
  chex.assert_equal_shape([scores, uniforms])
  if jnp.ndim(bound):
    chex.assert_equal_shape([scores, bound])
  return uniforms < jnp.exp((scores - bound) / beta)


@functools.partial(jax.jit, static_argnames='count')
def rejection_sample(
  key: chex.PRNGKey,
  scores: chex.Array,
  candidate_mask: chex.Array,
  *,
  beta: Positive,
  count: Count,
) -> tuple[chex.Array, chex.Array]:
  """Keeps `count` of one prompt's candidates by RSO's rejection sampling.

  Draws the uniforms for `rejection_sample_by`, and the order in which the
  candidates are visited: those visited early fill the quota first.

  Args:
    key: consumed.
    scores: [N] in reward units; anything where masked.
    candidate_mask: [N] bool.
    beta: > 0, in reward units.
    count: how many to keep; static.

  Returns:
    [count] int32 indices in the order of acceptance, and the mask [count] of
    those that are candidates: False at the end where there are fewer.

  Source: Liu et al. 2024 (RSO), algorithm 1.
  """
  candidate_mask = _scored(scores, candidate_mask)
  order_key, key = jax.random.split(key)
  order = jax.random.permutation(order_key, len(scores)).astype(jnp.int32)
  uniforms = jax.random.uniform(key, (visits(len(scores), count),))
  places, kept, _ = rejection_sample_by(
    uniforms, scores[order], candidate_mask[order], beta=beta, count=count
  )
  return order[places], kept


@functools.partial(jax.jit, static_argnames='count')
def rejection_sample_by(
  uniforms: chex.Array,
  scores: chex.Array,
  candidate_mask: chex.Array,
  *,
  beta: Positive,
  count: Count,
) -> tuple[chex.Array, chex.Array, chex.Array]:
  """RSO's rejection sampling of one prompt's candidates, by given uniforms.

  A pass visits the candidates that are left, in order, and accepts one if
  u < exp((r − max r) / β), the maximum being over those left when the pass
  began. Passes go on until `count` are accepted; each accepts at least its best
  candidate.

  Args:
    uniforms: [U] draws from [0, 1), one taken for each visit, in order; U at
      least `visits(N, count)`.
    scores: [N] in reward units; anything where masked.
    candidate_mask: [N] bool. Responses that are the same should count once.
    beta: > 0, in reward units.
    count: how many to keep; static.

  Returns:
    [count] int32 indices in the order of acceptance, 0 where there are fewer
    candidates; the mask [count] of those accepted; and how many visits, or
    uniforms, it took, [] int32.

  Source: Liu et al. 2024 (RSO), algorithm 1.
  """
  chex.assert_rank([uniforms, scores], 1)
  chex.assert_type(uniforms, float)
  candidate_mask = _scored(scores, candidate_mask)
  (N,), (U,) = scores.shape, uniforms.shape
  if visits(N, count) > U:
    raise ValueError(
      f'{U} uniforms; to accept {count} of {N} candidates may take '
      f'{visits(N, count)}'
    )

  nowhere = jnp.full(N, count, jnp.int32)
  start = candidate_mask, nowhere, jnp.int32(0), jnp.int32(0)
  _, place, accepted, visited = jax.lax.fori_loop(
    0,
    min(count, N),
    lambda _, state: _one_pass(state, uniforms, scores, beta, count),
    start,
  )
  indices = jnp.zeros(count, jnp.int32)
  indices = indices.at[place].set(jnp.arange(N), mode='drop')
  return indices, jnp.arange(count) < accepted, visited


def _one_pass(state, uniforms, scores, beta, count):
  """Visits the candidates that are left [N], until `count` are accepted.

  The state holds who is left [N] bool, the place in the order of acceptance of
  each [N] int32, and how many were accepted and visited so far.
  """
  left, place, accepted, visited = state
  running = functools.partial(jnp.cumsum, dtype=jnp.int32)
  draw = visited + running(left) - 1
  chances = acceptance(scores, left, beta=beta)
  passing = left & (uniforms[draw] < chances)
  before = accepted + running(passing) - passing
  reached = left & (before < count)
  passing &= reached
  return (
    left & ~passing,
    jnp.where(passing, before, place),
    accepted + jnp.sum(passing, dtype=jnp.int32),
    visited + jnp.sum(reached, dtype=jnp.int32),
  )


def visits(candidates: int, count: int) -> int:
  """The most visits that keeping `count` takes: a pass for each of them."""
  passes = min(count, candidates)
  return sum(candidates - done for done in range(passes))


@jax.jit
def optimal_distribution(
  base_logps: chex.Array, scores: chex.Array, *, beta: chex.Numeric
) -> tuple[chex.Array, chex.Array]:
  """The optimum of KL-regularised reward, over responses that are enumerated.

  π*(y) = π(y) exp(r(y) / β) / Z maximises E[r] − β KL(π* ‖ π), and the maximum
  is β log Z.

  Args:
    base_logps: [..., N] log π of all responses there are, in nats.
    scores: [..., N] in reward units.
    beta: > 0, in reward units per nat.

  Returns:
    [..., N] log π*, and [...] β log Z in reward units.

  Source: Korbak et al. 2022; Liu et al. 2024 (RSO).
  """
  chex.assert_type([base_logps, scores], float)
  chex.assert_equal_shape([base_logps, scores])
  tilted = base_logps + scores / beta
  return jax.nn.log_softmax(tilted), beta * jax.nn.logsumexp(tilted, axis=-1)


def _scored(scores, candidate_mask):
  """The candidates [..., N] that have a score."""
  chex.assert_type([scores, candidate_mask], [float, bool])
  chex.assert_equal_shape([scores, candidate_mask])
  return candidate_mask & ~jnp.isnan(scores)
