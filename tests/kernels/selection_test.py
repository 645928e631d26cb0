"""Selection by score against the published procedures, one step at a time."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import selection


def rejection_by_definition(uniforms, scores, beta, count):
  """RSO's algorithm 1 with a pool that shrinks after each pass."""
  draws, pool, accepted = iter(uniforms), list(range(len(scores))), []
  visited = 0
  while pool and len(accepted) < count:
    largest, passed = max(scores[i] for i in pool), []
    for i in pool:
      visited += 1
      if next(draws) < np.exp((scores[i] - largest) / beta):
        passed.append(i)
      if len(accepted) + len(passed) == count:
        break
    accepted += passed
    pool = [i for i in pool if i not in passed]
  return accepted, visited


def random_case(seed, candidates=6):
  rng = np.random.default_rng(seed)
  scores = rng.normal(size=candidates).round(1).astype(np.float32)
  uniforms = rng.uniform(size=candidates**2).astype(np.float32)
  return uniforms, scores, rng.uniform(size=candidates) < 0.7


class TopTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(1, 2, 4)
  def test_best_first_the_earlier_of_equal_ones(self, count):
    scores = np.float32([[0.0, 2.0, 1.0, 2.0], [-1.0, -1.0, -1.0, 3.0]])
    mask = np.ones((2, 4), bool)
    top = functools.partial(selection.top, count=count)
    indices, kept = self.variant(top)(scores, mask)
    expected = [[1, 3, 2, 0][:count], [3, 0, 1, 2][:count]]
    np.testing.assert_array_equal(indices, expected)
    self.assertTrue(np.all(kept))

  def test_masked_ones_are_not_taken_whatever_they_are(self):
    mask = np.array([False, True, True, False])
    for junk in (np.nan, np.inf, -np.inf):
      scores = np.float32([junk, -np.inf, 1.0, junk])
      indices, kept = selection.top(scores, mask, count=3)
      np.testing.assert_array_equal(indices[:2], [2, 1])
      np.testing.assert_array_equal(kept, [True, True, False])

  def test_refuses(self):
    scores, mask = np.zeros(3, np.float32), np.ones(3, bool)
    with self.assertRaises(ValueError):
      selection.top(scores, mask, count=4)
    with self.assertRaises(AssertionError):
      selection.top(scores, mask[:1], count=1)


class AcceptanceTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    acceptance = functools.partial(selection.acceptance, beta=0.5)
    actual = self.variant(acceptance)(np.float32([2, 1, 0]), np.ones(3, bool))
    np.testing.assert_allclose(actual, [1.0, 0.1353, 0.0183], atol=5e-5)

  def test_is_over_the_candidates(self):
    mask = np.array([[False, True, True], [False, False, False]])
    scores = np.where(mask, np.float32([[9.0, 1.0, 0.0]]), np.nan)
    actual = selection.acceptance(scores.astype(np.float32), mask, beta=1.0)
    np.testing.assert_allclose(actual[0], [0.0, 1.0, np.exp(-1.0)], rtol=1e-6)
    np.testing.assert_array_equal(actual[1], 0.0)

  def test_the_ends_of_beta(self):
    scores, mask = np.float32([2.0, 2.0, 1.0]), np.ones(3, bool)
    sharp = selection.acceptance(scores, mask, beta=1e-3)
    np.testing.assert_array_equal(sharp, [1.0, 1.0, 0.0])
    level = selection.acceptance(scores, mask, beta=1e8)
    np.testing.assert_allclose(level, 1.0)


class RejectionSampleTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.product(count=(1, 2, 4, 6, 9), beta=(0.2, 1.0))
  def test_matches_definition(self, count, beta):
    sample = self.variant(
      functools.partial(selection.rejection_sample_by, beta=beta, count=count)
    )
    for seed in range(10):
      uniforms, scores, mask = random_case(seed)
      places = np.flatnonzero(mask)
      accepted, visited = rejection_by_definition(
        uniforms, scores[mask], beta, count
      )
      indices, kept, used = sample(
        uniforms, np.where(mask, scores, np.nan), mask
      )
      chex.assert_shape([indices, kept], (count,))
      self.assertEqual(used, visited)
      np.testing.assert_array_equal(
        kept, np.arange(count) < min(count, len(places))
      )
      np.testing.assert_array_equal(indices[kept], places[accepted])
      np.testing.assert_array_equal(indices[~kept], 0)

  def test_uniforms_past_the_last_visit_do_not_count(self):
    uniforms, scores, _ = random_case(3)
    mask, options = np.ones(6, bool), {'beta': 0.5, 'count': 3}
    clean = selection.rejection_sample_by(uniforms, scores, mask, **options)
    uniforms[int(clean[2]) :] = np.nan
    dirty = selection.rejection_sample_by(uniforms, scores, mask, **options)
    chex.assert_trees_all_equal(clean, dirty)

  def test_the_longest_course_is_provided_for(self):
    # Each pass visits all that are left, and accepts only the last of them.
    scores, mask = np.float32([0.0, 1.0, 2.0, 3.0]), np.ones(4, bool)
    self.assertEqual(selection.visits(4, 3), 4 + 3 + 2)
    uniforms = np.full(9, 0.99, np.float32)
    indices, kept, used = selection.rejection_sample_by(
      uniforms, scores, mask, beta=0.5, count=3
    )
    np.testing.assert_array_equal(indices, [3, 2, 1])
    self.assertTrue(np.all(kept))
    self.assertEqual(used, 9)
    with self.assertRaisesRegex(ValueError, 'may take 9'):
      selection.rejection_sample_by(
        uniforms[:8], scores, mask, beta=0.5, count=3
      )

  def test_inclusion_frequencies(self):
    # Of 200 thousand trials in this order, in three digits.
    expected = np.array([1.0, 0.873, 0.086, 0.028, 0.010, 0.003])
    scores = np.float32([1.0, 0.5, 0.0, -0.5, -1.0, -1.5])
    trials = 20_000

    @jax.jit
    @jax.vmap
    def draw(uniforms):
      indices, *_ = selection.rejection_sample_by(
        uniforms, scores, jnp.ones(6, bool), beta=0.5, count=2
      )
      return indices

    visits = selection.visits(6, 2)
    drawn = np.asarray(
      draw(jax.random.uniform(jax.random.key(0), (trials, visits)))
    )
    self.assertTrue(np.all(drawn[:, 0] != drawn[:, 1]))
    actual = np.bincount(drawn.ravel(), minlength=6) / trials
    deviation = np.sqrt(expected * (1.0 - expected) / trials)
    np.testing.assert_array_less(
      np.abs(actual - expected), 4.0 * deviation + 1e-3
    )

  def test_no_place_is_favoured(self):
    # Of equal scores, all accepted in the first pass, each is kept as often.
    trials = 4000
    draw = functools.partial(selection.rejection_sample, beta=0.5, count=1)
    keys = jax.random.split(jax.random.key(2), trials)
    (drawn,), _ = jax.vmap(draw, (0, None, None), 1)(
      keys, np.zeros(4, np.float32), np.array([True, True, False, True])
    )
    shares = np.bincount(drawn, minlength=4) / trials
    np.testing.assert_allclose(shares, [1 / 3, 1 / 3, 0.0, 1 / 3], atol=0.03)

  def test_is_its_keys(self):
    scores, mask = np.float32([0.3, 0.1, 0.2, 0.0]), np.ones(4, bool)
    draw = functools.partial(selection.rejection_sample, beta=0.5, count=2)
    keys = jax.random.split(jax.random.key(1), 20)
    once, again = ([draw(key, scores, mask) for key in keys] for _ in range(2))
    chex.assert_trees_all_equal(once, again)
    self.assertGreater(len({tuple(np.asarray(i)) for i, _ in once}), 1)

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      selection.rejection_sample(
        jax.random.key(0),
        np.zeros(3, np.float32),
        np.ones(1, bool),
        beta=0.5,
        count=1,
      )


class AcceptTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    self.base = np.array([0.4, 0.3, 0.2, 0.1])
    self.scores = np.float32([0.0, 0.5, 1.0, -0.5])
    tilted = self.base * np.exp(self.scores / 0.7)
    self.partition = tilted.sum()
    self.target = tilted / self.partition

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(1.0, 1.4)  # The largest score, and more than it.
  def test_what_is_accepted_follows_the_optimal_law(self, bound):
    trials, rng = 100_000, np.random.default_rng(0)
    drawn = rng.choice(4, trials, p=self.base)
    uniforms = rng.uniform(size=trials).astype(np.float32)
    accepted = np.asarray(
      self.variant(functools.partial(selection.accept, beta=0.7))(
        self.scores[drawn], bound, uniforms
      )
    )
    share = self.partition * np.exp(-bound / 0.7)
    self.assertLess(
      abs(accepted.mean() - share), 4.0 * np.sqrt(share * (1 - share) / trials)
    )
    counts = np.bincount(drawn[accepted], minlength=4)
    expected = self.target * counts.sum()
    chi_square = ((counts - expected) ** 2 / expected).sum()
    self.assertLess(chi_square, 16.3)  # Three degrees of freedom, p of 0.001.

  def test_optimal_law(self):
    law, value = selection.optimal_distribution(
      np.log(self.base).astype(np.float32), self.scores, beta=0.7
    )
    np.testing.assert_allclose(np.exp(law), self.target, rtol=1e-5)
    np.testing.assert_allclose(value, 0.7 * np.log(self.partition), rtol=1e-5)

  def test_no_law_near_the_optimal_one_is_worth_more(self):
    def worth(law):
      divergence = (law * np.log(law / self.base)).sum()
      return (law * self.scores).sum() - 0.7 * divergence

    log_base = np.log(self.base).astype(np.float32)
    law, value = selection.optimal_distribution(log_base, self.scores, beta=0.7)
    law = np.exp(np.asarray(law, float))
    np.testing.assert_allclose(worth(law / law.sum()), value, rtol=1e-5)
    for shift in np.random.default_rng(0).normal(size=(20, 4)):
      other = law * np.exp(0.1 * shift)
      self.assertLess(worth(other / other.sum()), value)

  def test_large_scores_and_impossible_responses(self):
    log_base = np.float32([-np.inf, np.log(0.5), np.log(0.5)])
    scores = np.float32([5e3, 1e3, -1e3])
    law, value = selection.optimal_distribution(log_base, scores, beta=1.0)
    np.testing.assert_allclose(np.exp(law), [0.0, 1.0, 0.0])
    np.testing.assert_allclose(value, 1e3 + np.log(0.5), rtol=1e-6)

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      selection.accept(self.scores, 1.0, np.zeros(1, np.float32), beta=1.0)
    with self.assertRaises(AssertionError):
      selection.accept(
        self.scores, np.zeros(1, np.float32), np.zeros_like(self.scores), beta=1
      )
    with self.assertRaises(AssertionError):
      selection.optimal_distribution(
        np.zeros(1, np.float32), self.scores, beta=1.0
      )
