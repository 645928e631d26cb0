"""Group advantages by their definitions, and gradients averaged exactly."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import baselines

# Four groups: whole, with a sample unscorable, with one left, with none.
SCORES = np.array(
  [[1.0, 4.0, -2.0], [0.5, 9.0, 3.5], [2.0, 7.0, 7.0], [5.0, 6.0, 7.0]],
  np.float32,
)
MASK = np.array(
  [[True] * 3, [True, False, True], [True, False, False], [False] * 3]
)
ALL = (
  baselines.group_mean,
  baselines.leave_one_out,
  baselines.group_standardised,
  baselines.batch_scaled,
  baselines.batch_standardised,
)


def by_definition(advantage):
  """A function of (i, the group's scores that count), group by group."""
  rows = np.zeros(SCORES.shape)
  for row, (scores, mask) in enumerate(zip(SCORES, MASK, strict=True)):
    kept = scores[mask].astype(np.float64)
    for place, i in enumerate(np.flatnonzero(mask)):
      rows[row, i] = advantage(place, kept)
  return rows


class BaselinesTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_group_mean(self):
    actual = self.variant(baselines.group_mean)(SCORES, MASK)
    expected = by_definition(lambda i, scores: scores[i] - scores.mean())
    np.testing.assert_allclose(actual, expected, atol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  def test_leave_one_out(self):
    def advantage(i, scores):
      others = np.delete(scores, i)
      return scores[i] - others.mean() if others.size else 0.0

    actual = self.variant(baselines.leave_one_out)(SCORES, MASK)
    np.testing.assert_allclose(actual, by_definition(advantage), atol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.product(ddof=(0, 1), epsilon=(1e-4, 0.5))
  def test_group_standardised(self, ddof, epsilon):
    def advantage(i, scores):
      if scores.size < 2:
        return 0.0
      deviation = scores.std(ddof=ddof)
      return (scores[i] - scores.mean()) / (deviation + epsilon)

    estimate = functools.partial(
      baselines.group_standardised, ddof=ddof, epsilon=epsilon
    )
    actual = self.variant(estimate)(SCORES, MASK)
    np.testing.assert_allclose(actual, by_definition(advantage), atol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.product(ddof=(0, 1), epsilon=(1e-4, 0.5))
  def test_batch_scaled(self, ddof, epsilon):
    deviation = SCORES[MASK].astype(np.float64).std(ddof=ddof)
    expected = by_definition(
      lambda i, scores: (scores[i] - scores.mean()) / (deviation + epsilon)
    )
    scale = functools.partial(
      baselines.batch_scaled, ddof=ddof, epsilon=epsilon
    )
    actual = self.variant(scale)(SCORES, MASK)
    np.testing.assert_allclose(actual, expected, atol=1e-6)

  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.product(ddof=(0, 1), epsilon=(1e-4, 0.5))
  def test_batch_standardised(self, ddof, epsilon):
    kept = SCORES[MASK].astype(np.float64)
    expected = np.where(MASK, SCORES - kept.mean(), 0.0)
    expected /= kept.std(ddof=ddof) + epsilon
    standardise = functools.partial(
      baselines.batch_standardised, ddof=ddof, epsilon=epsilon
    )
    actual = self.variant(standardise)(SCORES, MASK)
    np.testing.assert_allclose(actual, expected, atol=1e-6)

  @parameterized.parameters(*ALL)
  def test_masked_scores_are_inert(self, advantages):
    junk = np.where(MASK, SCORES, np.nan).astype(np.float32)
    actual = advantages(junk, MASK)
    chex.assert_trees_all_equal(advantages(SCORES, MASK), actual)
    np.testing.assert_array_equal(np.asarray(actual)[~MASK], 0.0)

  @parameterized.parameters(*ALL[:-1])
  def test_equal_scores_are_exactly_nothing(self, advantages):
    # 0.1 is not a float, and the mean of seven of them is not 0.1.
    for score in (0.1, -1e4 / 3.0):
      scores = np.full((2, 7), score, np.float32)
      actual = advantages(scores, np.ones((2, 7), bool))
      np.testing.assert_array_equal(actual, 0.0)

  @parameterized.parameters(*ALL[:3])
  def test_an_offset_of_a_prompt_changes_nothing(self, advantages):
    offsets = np.array([[1e4], [-3e3], [5.0], [0.0]], np.float32)
    np.testing.assert_allclose(
      advantages(SCORES + offsets, MASK), advantages(SCORES, MASK), atol=2e-3
    )

  def test_any_leading_axes(self):
    for advantages in ALL[:3]:
      nested = advantages(SCORES.reshape(2, 2, 3), MASK.reshape(2, 2, 3))
      np.testing.assert_array_equal(
        nested.reshape(4, 3), advantages(SCORES, MASK)
      )
      np.testing.assert_array_equal(
        advantages(SCORES[0], MASK[0]), advantages(SCORES, MASK)[0]
      )

  @parameterized.parameters(*ALL)
  def test_stops_the_gradient(self, advantages):
    for scores in (SCORES, np.ones_like(SCORES)):
      slope = jax.grad(lambda x: jnp.sum(advantages(x, MASK)))(scores)
      np.testing.assert_array_equal(slope, 0.0)

  @parameterized.parameters(*ALL[:-1])
  def test_refuses_what_would_broadcast(self, advantages):
    with self.assertRaises(AssertionError):
      advantages(SCORES, MASK[:1])
    with self.assertRaises(AssertionError):
      advantages(SCORES, MASK.astype(np.float32))


class ExpectedGradientTest(chex.TestCase):
  """Averaged over all groups of three draws among three responses."""

  logits = np.array([0.3, -0.5, 0.9], np.float32)
  scores = np.array([5.0, 7.0, 6.0], np.float32)

  def setUp(self):
    super().setUp()
    self.groups = np.array(list(itertools.product(range(3), repeat=3)))
    logps = jax.nn.log_softmax(self.logits)
    self.chances = np.exp(np.asarray(logps)[self.groups].sum(-1))
    expected = jax.grad(lambda x: jax.nn.softmax(x) @ self.scores)
    self.exact = np.asarray(expected(self.logits))

  def gradients(self, advantages):
    """What each group makes of the policy gradient, [27, 3]."""

    def mean(logits, group, gains):
      return jnp.mean(gains * jax.nn.log_softmax(logits)[group])

    slope = jax.vmap(jax.grad(mean), (None, 0, 0))
    return np.asarray(slope(self.logits, self.groups, advantages))

  def test_leave_one_out_is_unbiased_and_the_group_mean_shrinks(self):
    scores = self.scores[self.groups]
    mask = np.ones(scores.shape, bool)
    for advantages, share in (
      (baselines.leave_one_out, 1.0),
      (baselines.group_mean, 2 / 3),
    ):
      actual = self.chances @ self.gradients(advantages(scores, mask))
      np.testing.assert_allclose(actual, share * self.exact, atol=1e-5)

  def test_leave_one_out_varies_less_than_no_baseline(self):
    scores = self.scores[self.groups]
    gains = baselines.leave_one_out(scores, np.ones(scores.shape, bool))
    least, most = (
      self.chances @ ((self.gradients(x) - self.exact) ** 2).sum(-1)
      for x in (gains, scores)
    )
    self.assertLess(least, 0.1 * most)


class InformativeTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(
    ([1.0, 1.0, 0.0], [True, True, True], True),
    ([0.1, 0.1, 0.1], [True, True, True], False),
    ([1.0, 1.0, np.nan], [True, True, False], False),
    ([1.0, np.nan, 0.0], [True, False, True], True),
    ([1.0, 2.0, 3.0], [False, True, False], False),
    ([np.nan] * 3, [False] * 3, False),
  )
  def test_worked_example(self, scores, mask, expected):
    actual = self.variant(baselines.informative)(
      np.array([scores], np.float32), np.array([mask])
    )
    np.testing.assert_array_equal(actual, [expected])

  def test_is_where_advantages_are_not_all_zero(self):
    informative = baselines.informative(SCORES, MASK)
    gains = baselines.group_standardised(SCORES, MASK)
    np.testing.assert_array_equal(informative, np.any(gains != 0.0, axis=-1))

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      baselines.informative(SCORES, MASK[:1])
