"""Which candidates of a prompt are kept, by their scores.

`top` takes the best ones. The others keep a sample that leans towards high
scores, as the distribution π* ∝ π exp(r / β) of `optimal_law` does:

- `accept` is textbook rejection sampling. Candidates drawn from π are each
  accepted or not on their own, against one bound that no score of the prompt
  exceeds. Those accepted follow π* exactly; how many there are is left to
  chance, and few where the bound is high.
- `rejection_sample` is the procedure of RSO: as many as are asked for, out of
  a pool, without replacement, against the largest score in the pool. Whether a
  candidate is accepted depends on the others and on its place among them, so
  not even the first one accepted is drawn from the pool by exp(r / β); π* is
  only approached as the pool grows. Shuffle candidates whose order means
  something.

A score that is NaN is that of no candidate, whatever the mask says.
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
  """exp((r − max r) / β) [..., N]: how likely the first pass is to accept each.

  Each one on its own, if it is reached. 1 for the best, 0 where masked.

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
  share Z exp(−bound / β) of them is accepted. A largest score among the
  candidates themselves is no such bound: see `rejection_sample` for that.

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

  `rejection_sample_by` says how; this draws the uniforms for it, and the order
  in which candidates are visited: those visited early fill the quota first.

  Args:
    key: consumed.
    scores: [N] in reward units; anything where masked.
    candidate_mask: [N] bool.
    beta: > 0, in reward units.
    count: how many to keep; static.

  Returns:
    [count] int32 indices in the order of acceptance, and the mask [count] of
    those that are candidates: all of these are kept where there are fewer.

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

  In a pass the candidates that are left are visited in order, and one is
  accepted if u < exp((r − max r) / β), the maximum being over those left when
  the pass began. All ends when `count` are accepted. As the best is accepted
  whenever it is visited, no pass goes without.

  Args:
    uniforms: [U] draws from [0, 1), one taken for each visit, in order; U at
      least `visits(N, count)`, which is what the longest course takes.
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
  candidates = scores.shape[0]
  if uniforms.shape[0] < visits(candidates, count):
    raise ValueError(
      f'{uniforms.shape[0]} uniforms; to accept {count} of {candidates} '
      f'candidates may take {visits(candidates, count)}'
    )

  running = functools.partial(jnp.cumsum, dtype=jnp.int32)

  def one_pass(_, state):
    left, place, accepted, visited = state
    draw = visited + running(left) - 1
    chances = acceptance(scores, left, beta=beta)
    passing = left & (uniforms[draw] < chances)
    before = accepted + running(passing) - passing
    reached = left & (before < count)  # Not visited once all are found.
    passing &= reached
    return (
      left & ~passing,
      jnp.where(passing, before, place),
      accepted + jnp.sum(passing, dtype=jnp.int32),
      visited + jnp.sum(reached, dtype=jnp.int32),
    )

  nowhere = jnp.full(candidates, count, jnp.int32)
  start = candidate_mask, nowhere, jnp.int32(0), jnp.int32(0)
  _, place, accepted, visited = jax.lax.fori_loop(
    0, min(count, candidates), one_pass, start
  )
  indices = jnp.zeros(count, jnp.int32)
  indices = indices.at[place].set(jnp.arange(candidates), mode='drop')
  return indices, jnp.arange(count) < accepted, visited


def visits(candidates: int, count: int) -> int:
  """The most visits that keeping `count` takes: a pass for each of them."""
  passes = min(count, candidates)
  return sum(candidates - done for done in range(passes))


@jax.jit
def optimal_law(
  base_logps: chex.Array, scores: chex.Array, *, beta: chex.Numeric
) -> tuple[chex.Array, chex.Array]:
  """What a policy that trades scores for closeness to its base ends at.

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
