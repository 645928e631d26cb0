"""Bounds by loops over pairs, and what they do and do not care about."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized
from jax.test_util import check_grads

from rlhf_jax.kernels import bottleneck

BOUNDS = (
  ('jensen_shannon', bottleneck.jensen_shannon),
  ('nwj', bottleneck.nwj),
  ('info_nce', bottleneck.info_nce),
)
ALL = (*BOUNDS, ('nwj_read_out', bottleneck.nwj_read_out))


def sample():
  """Scores, positives and negatives of six rows; 0 and 2 are of one prompt.

  Row 4 is padding, and every other entry is in use.
  """
  scores = np.random.default_rng(0).normal(0.0, 2.0, (6, 6))
  mask = np.array([True, True, True, True, False, True])
  ids = np.array([7, 3, 7, 9, 5, 2])
  differ = ids[:, None] != ids[None]
  both = mask[:, None] & mask[None]
  return (
    scores.astype(np.float32),
    np.eye(6, dtype=bool) & both,
    differ & both,
  )


def by_loop(name, scores, positives, negatives):
  """The definition, pair by pair, in Python floats."""
  scores = scores.astype(np.float64)
  joint = [float(t) for t in scores[positives]]
  product = [float(t) for t in scores[negatives]]

  def mean(function, values):
    return sum(function(t) for t in values) / len(values)

  def share(row, column):
    rivals = [np.exp(t) for t in scores[row][negatives[row]]]
    own = np.exp(scores[row, column])
    return np.log((1 + len(rivals)) * own / (own + sum(rivals)))

  return {
    'jensen_shannon': lambda: (
      mean(lambda t: -np.log1p(np.exp(-t)), joint)
      - mean(lambda t: np.log1p(np.exp(t)), product)
    ),
    'nwj': lambda: np.mean(joint) - mean(np.exp, product) / np.e,
    'nwj_read_out': lambda: 1 + np.mean(joint) - mean(np.exp, product),
    'info_nce': lambda: np.mean([share(*ij) for ij in np.argwhere(positives)]),
  }[name]()


def value_and_slopes(bound, scores, positives, negatives):
  return jax.value_and_grad(bound)(jnp.float32(scores), positives, negatives)


class DefinitionTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.named_parameters((name, name, bound) for name, bound in ALL)
  def test_matches_a_loop(self, name, bound):
    arrays = sample()
    found = self.variant(bound)(*arrays)
    self.assertEqual((found.shape, found.dtype), ((), jnp.float32))
    np.testing.assert_allclose(found, by_loop(name, *arrays), rtol=1e-5)

  @parameterized.named_parameters(*ALL)
  def test_junk_that_does_not_count_is_inert(self, bound):
    scores, positives, negatives = sample()
    dirty = np.where(positives | negatives, scores, np.nan)
    self.assertTrue(np.isnan(dirty[0, 2]))
    self.assertTrue(np.isnan(dirty[4]).all())
    clean = value_and_slopes(bound, scores, positives, negatives)
    chex.assert_trees_all_equal(
      value_and_slopes(bound, dirty, positives, negatives), clean
    )

  @parameterized.named_parameters(*ALL)
  def test_padded_rows_change_nothing(self, bound):
    arrays = [x[:4, :4] for x in sample()]
    padded = [np.pad(x, ((0, 3), (0, 3))) for x in arrays]
    value, slopes = value_and_slopes(bound, *arrays)
    padded_value, padded_slopes = value_and_slopes(bound, *padded)
    np.testing.assert_allclose(padded_value, value, rtol=1e-6)
    np.testing.assert_allclose(padded_slopes[:4, :4], slopes, atol=1e-7)
    np.testing.assert_array_equal(padded_slopes[4:], 0.0)

  @parameterized.named_parameters(*ALL)
  def test_does_not_see_the_order_of_the_prompts(self, bound):
    order = np.array([3, 0, 5, 1, 4, 2])
    shuffled = [x[order][:, order] for x in sample()]
    np.testing.assert_allclose(bound(*shuffled), bound(*sample()), rtol=1e-5)

  @parameterized.named_parameters(*ALL)
  def test_is_zero_without_gradient_where_a_kind_is_missing(self, bound):
    scores, positives, negatives = sample()
    none = np.zeros_like(positives)
    for masks in ((positives, none), (none, negatives), (none, none)):
      value, slopes = value_and_slopes(bound, scores, *masks)
      self.assertEqual(float(value), 0.0)
      np.testing.assert_array_equal(slopes, 0.0)

  @parameterized.named_parameters(*ALL)
  def test_is_finite_far_out(self, bound):
    scores, positives, negatives = sample()
    for size in (1e4, -1e4):
      for far in (
        np.full_like(scores, size),
        np.where(positives, size, -size),
        size * scores,
      ):
        found = value_and_slopes(bound, far, positives, negatives)
        chex.assert_tree_all_finite(found)

  @parameterized.named_parameters(*BOUNDS)
  def test_gradients(self, bound):
    scores, positives, negatives = sample()
    # Away from where SMILE's clip has a corner.
    scores = np.where(np.abs(np.abs(scores) - 1.0) < 0.1, 0.5, scores)
    check_grads(
      lambda x: bound(x, positives, negatives),
      (scores,),
      order=1,
      modes=['rev'],
      rtol=2e-2,
      atol=2e-3,
    )

  @parameterized.named_parameters(*ALL)
  def test_refuses_what_would_broadcast(self, bound):
    scores, positives, negatives = sample()
    for wrong in (
      (scores[:1], positives, negatives),
      (scores, positives[:, :1], negatives),
      (scores, positives, negatives[0]),
      (scores, positives.astype(int), negatives),
      (scores.astype(int), positives, negatives),
    ):
      with self.assertRaises(AssertionError):
        bound(*wrong)

  def test_computes_in_float32(self):
    scores, positives, negatives = sample()
    half = jnp.asarray(scores, jnp.bfloat16)
    for name, bound in ALL:
      expected = by_loop(name, np.asarray(half), positives, negatives)
      found = bound(half, positives, negatives)
      np.testing.assert_allclose(found, expected, rtol=1e-5)


class PropertyTest(chex.TestCase):
  def setUp(self):
    super().setUp()
    self.scores, self.positives, self.negatives = sample()
    self.masks = self.positives, self.negatives

  def test_jensen_shannon_of_no_opinion(self):
    found = bottleneck.jensen_shannon(jnp.zeros((6, 6)), *self.masks)
    np.testing.assert_allclose(found, -2.0 * np.log(2.0), rtol=1e-6)

  def test_jensen_shannon_s_slopes_are_bounded(self):
    # σ(−T) on a positive and −σ(T) on a negative, over how many there are.
    for size in (1.0, 100.0):
      _, slopes = value_and_slopes(
        bottleneck.jensen_shannon, size * self.scores, *self.masks
      )
      sigmoid = 1.0 / (1.0 + np.exp(np.clip(-size * self.scores, -80, 80)))
      expected = np.where(self.positives, 1.0 - sigmoid, 0.0) / 5
      expected -= np.where(self.negatives, sigmoid, 0.0) / self.negatives.sum()
      np.testing.assert_allclose(slopes, expected, atol=1e-6)

  def test_who_minds_a_constant(self):
    shifted = self.scores + np.float32(2.0)
    for bound, gap in (
      (bottleneck.info_nce, 0.0),
      # 2 more on the positives, and e² times as much taken off.
      (
        bottleneck.nwj,
        2.0 - np.exp(self.scores[self.negatives] - 1).mean() * np.expm1(2.0),
      ),
    ):
      found = bound(shifted, *self.masks) - bound(self.scores, *self.masks)
      np.testing.assert_allclose(found, gap, rtol=1e-5, atol=1e-5)

  def test_info_nce_does_not_mind_a_constant_of_each_row(self):
    shifts = np.float32([3.0, -1.0, 0.0, 7.0, 2.0, -20.0])
    before = bottleneck.info_nce(self.scores, *self.masks)
    after = bottleneck.info_nce(self.scores + shifts[:, None], *self.masks)
    np.testing.assert_allclose(after, before, rtol=1e-5)
    columns = bottleneck.info_nce(self.scores + shifts, *self.masks)
    self.assertGreater(abs(columns - before), 0.1)

  @parameterized.parameters(2, 8, 64)
  def test_info_nce_s_ceiling(self, size):
    positives = jnp.eye(size, dtype=bool)
    masks = positives, ~positives
    found = bottleneck.info_nce(100.0 * jnp.eye(size), *masks)
    np.testing.assert_allclose(found, np.log(size), atol=1e-3)
    draw = np.random.default_rng(size).normal(0.0, 5.0, (size, size))
    self.assertLessEqual(
      bottleneck.info_nce(jnp.float32(draw), *masks), np.log(size)
    )
    alike = bottleneck.info_nce(jnp.full((size, size), 3.0), *masks)
    np.testing.assert_allclose(alike, 0.0, atol=1e-6)

  def test_a_row_without_negatives_counts_as_none(self):
    negatives = self.negatives.copy()
    negatives[3] = False
    parts = by_loop('info_nce', self.scores, self.positives, negatives)
    found = bottleneck.info_nce(self.scores, self.positives, negatives)
    np.testing.assert_allclose(found, parts, rtol=1e-5)

  def test_independent_views_tell_nothing(self):
    for bound in (
      bottleneck.nwj_read_out,
      bottleneck.info_nce,
    ):
      self.assertEqual(float(bound(jnp.zeros((6, 6)), *self.masks)), 0.0)

  def test_the_read_out_is_cut_and_is_no_target(self):
    scores = jnp.where(self.positives, 25.0, -50.0)
    found, slopes = value_and_slopes(
      bottleneck.nwj_read_out, scores, *self.masks
    )
    np.testing.assert_allclose(found, 1.0 + 20.0, rtol=1e-6)
    np.testing.assert_array_equal(slopes, 0.0)


if __name__ == '__main__':
  absltest.main()
