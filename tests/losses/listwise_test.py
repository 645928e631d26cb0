"""Listwise objectives against their sums, written out pair by pair."""

import functools

import chex
import jax
import numpy as np
from absl.testing import parameterized

from rlhf_jax.losses import listwise


def sample(seed=0, batch=4, candidates=5):
  """Lists [B, K], best first, with ties, and K of 5, 3, 1 and 0 candidates."""
  rng = np.random.default_rng(seed)
  shape = (batch, candidates)
  lengths = rng.integers(1, 9, shape).astype(np.float32)
  logps = (-rng.uniform(0.5, 3.0, shape) * lengths).astype(np.float32)
  scores = -np.sort(-rng.integers(-3, 4, shape), axis=-1).astype(np.float32)
  mask = np.arange(candidates) < np.array([5, 3, 1, 0])[:, None]
  return logps, lengths, scores, mask


def ranking_by_definition(logps, lengths, order, exponent=1.0):
  p = logps.astype(np.float64) / lengths**exponent
  return sum(
    max(0.0, p[i] - p[j])
    for i in range(len(p))
    for j in range(len(p))
    if order[i] < order[j]
  )


def plackett_luce_by_definition(logps, lengths):
  s = logps.astype(np.float64) / lengths
  likelihood = 1.0
  for k in range(len(s) - 1):
    likelihood *= np.exp(s[k]) / np.exp(s[k:]).sum()
  return -np.log(likelihood)


def pro_by_definition(logps, lengths, scores):
  s, total = logps.astype(np.float64) / lengths, 0.0
  for k in range(len(s) - 1):
    gaps = scores[k] - scores[k + 1 :]
    best = np.exp(s[k] * gaps.max())
    total -= np.log(best / (best + np.exp(s[k + 1 :] * gaps).sum()))
  return total


def total_by_definition(name, logps, lengths, scores):
  """One list, whole: the published sums, or 0 of no candidates."""
  if not len(logps):
    return 0.0
  ranking = pro_by_definition(logps, lengths, scores)
  return {
    'rrhf_ranking': ranking_by_definition(logps, lengths, scores),
    'rrhf': 3.0 * ranking_by_definition(logps, lengths, scores) - logps[0],
    'plackett_luce': plackett_luce_by_definition(logps, lengths),
    'pro_ranking': ranking,
    'pro': ranking - 0.2 * (len(logps) - 1) ** 2 * logps[0],
  }[name]


# Each with its arguments (logps, lengths, scores, mask) in their places.
OBJECTIVES = {
  'rrhf_ranking': listwise.rrhf_ranking,
  'rrhf': functools.partial(listwise.rrhf, rank_coef=3.0),
  'plackett_luce': lambda logps, lengths, scores, mask: listwise.plackett_luce(
    logps, lengths, mask
  ),
  'pro_ranking': listwise.pro_ranking,
  'pro': functools.partial(listwise.pro, sft_coef=0.2),
}


class ListTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(*OBJECTIVES)
  def test_matches_definition(self, name):
    logps, lengths, scores, mask = sample()
    actual = self.variant(OBJECTIVES[name])(logps, lengths, scores, mask)
    expected = [
      total_by_definition(name, *(x[row][mask[row]] for x in arrays))
      for row, arrays in enumerate([(logps, lengths, scores)] * len(mask))
    ]
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-6)

  @parameterized.parameters(*OBJECTIVES)
  def test_a_masked_candidate_is_not_there(self, name):
    objective = OBJECTIVES[name]
    logps, lengths, scores, _ = sample()
    for gone in range(5):
      mask = np.broadcast_to(np.arange(5) != gone, logps.shape)
      without = [np.delete(x, gone, axis=1) for x in (logps, lengths, scores)]
      np.testing.assert_allclose(
        objective(logps, lengths, scores, mask),
        objective(*without, np.ones((4, 4), bool)),
        rtol=1e-5,
      )

  @parameterized.parameters(*OBJECTIVES)
  def test_masked_candidates_are_inert(self, name):
    logps, lengths, scores, mask = sample()
    junk = [np.where(mask, x, np.nan) for x in (logps, lengths, scores)]

    def total(logps, lengths, scores):
      return OBJECTIVES[name](logps, lengths, scores, mask).sum()

    clean = jax.value_and_grad(total)(logps, lengths, scores)
    dirty = jax.value_and_grad(total)(*junk)
    chex.assert_trees_all_equal(clean, dirty)
    np.testing.assert_array_equal(np.asarray(dirty[1])[~mask], 0.0)

  @parameterized.parameters(*OBJECTIVES)
  def test_takes_any_leading_axes(self, name):
    arrays = sample()
    flat = OBJECTIVES[name](*arrays)
    folded = OBJECTIVES[name](*(x.reshape(2, 2, 5) for x in arrays))
    np.testing.assert_allclose(folded.reshape(4), flat, rtol=1e-6)
    single = OBJECTIVES[name](*(x[0] for x in arrays))
    np.testing.assert_allclose(single, flat[0], rtol=1e-6)

  @parameterized.parameters(*OBJECTIVES)
  def test_gradients(self, name):
    logps, lengths, scores, mask = sample()

    def objective(logps):
      return OBJECTIVES[name](logps, lengths, scores / 3.0, mask)

    jax.test_util.check_grads(objective, (logps,), 1, ['rev'], rtol=2e-2)

  @parameterized.product(
    name=tuple(OBJECTIVES), size=(0.0, 1e3), best_is_likely=(True, False)
  )
  def test_nothing_overflows(self, name, size, best_is_likely):
    signs = np.float32([1.0, -1.0, 1.0, -1.0])
    logps = size * signs if best_is_likely else -size * signs
    scores = size * np.float32([1.0, 1.0, -1.0, -1.0])
    lengths, mask = np.ones(4, np.float32), np.ones(4, bool)
    value, slopes = jax.value_and_grad(OBJECTIVES[name])(
      logps, lengths, scores, mask
    )
    chex.assert_tree_all_finite((value, slopes))

  @parameterized.parameters(*OBJECTIVES)
  def test_a_response_of_no_tokens_is_finite(self, name):
    logps, scores = np.float32([0.0, -2.0, 0.0]), np.float32([2.0, 1.0, 0.0])
    arrays = logps, np.float32([0.0, 3.0, 0.0]), scores, np.ones(3, bool)
    chex.assert_tree_all_finite(jax.value_and_grad(OBJECTIVES[name])(*arrays))

  @parameterized.parameters(*OBJECTIVES)
  def test_refuses_what_would_broadcast(self, name):
    logps, lengths, scores, mask = sample()
    with self.assertRaises(AssertionError):
      OBJECTIVES[name](logps, lengths[:1], scores, mask)
    with self.assertRaises(AssertionError):
      OBJECTIVES[name](logps, lengths, scores, mask[0])
    with self.assertRaises(AssertionError):
      OBJECTIVES[name](logps, lengths, scores, mask.astype(np.float32))


class RrhfTest(chex.TestCase):
  @parameterized.parameters(
    ([-0.40, -0.55, -0.30], [2.0, 5.0, 1.0], 0.50),
    ([-0.8, -0.5, -0.9], [1.0, 0.2, 0.8], 0.70),
  )
  def test_worked_example(self, p, order, expected):
    p, order = np.float32(p), np.float32(order)
    lengths = np.float32([2.0, 3.0, 4.0])
    actual = listwise.rrhf_ranking(p * lengths, lengths, order, order == order)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)

  @parameterized.parameters(0.0, 0.5, 1.0, 2.0)
  def test_length_exponent(self, exponent):
    logps, lengths, scores, _ = sample()
    mask = np.ones_like(logps, bool)
    actual = listwise.rrhf_ranking(
      logps, lengths, scores, mask, length_exponent=exponent
    )
    expected = [
      ranking_by_definition(*rows, exponent)
      for rows in zip(logps, lengths, scores, strict=True)
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)

  def test_equal_log_probs_or_equal_scores_have_no_slope(self):
    ones, mask = np.ones(2, np.float32), np.ones(2, bool)
    slope = jax.grad(listwise.rrhf_ranking)
    for logps, order in (
      ([-1.0, -1.0], [2.0, 1.0]),
      ([-2.0, -1.0], [1.0, 1.0]),
    ):
      slopes = slope(np.float32(logps), ones, np.float32(order), mask)
      np.testing.assert_array_equal(slopes, 0.0)

  def test_only_the_order_counts(self):
    logps, lengths, scores, mask = sample()
    stretched = np.exp(scores) * 7.0
    for objective in (listwise.rrhf_ranking, listwise.rrhf):
      np.testing.assert_array_equal(
        objective(logps, lengths, scores, mask),
        objective(logps, lengths, stretched, mask),
      )

  def test_places_count_only_through_the_best(self):
    logps, lengths, scores, _ = sample()
    mask, shuffled = np.ones_like(logps, bool), [0, 3, 1, 4, 2]
    arrays = logps, lengths, scores, mask
    np.testing.assert_allclose(
      listwise.rrhf(*arrays),
      listwise.rrhf(*(x[:, shuffled] for x in arrays)),
      rtol=1e-5,
    )


class ProTest(chex.TestCase):
  def test_worked_examples(self):
    s, scores = np.float32([-0.5, -1.0, -2.0]), np.float32([2.0, 1.8, 0.2])
    lengths, mask = np.float32([4.0, 2.0, 3.0]), np.ones(3, bool)
    ranking = listwise.pro_ranking(s * lengths, lengths, scores, mask)
    np.testing.assert_allclose(ranking, 1.12524 + 0.18390, atol=2e-5)
    plain = listwise.plackett_luce(s * lengths, lengths, mask)
    np.testing.assert_allclose(plain, 0.60413 + 0.31326, atol=2e-5)
    # The best one's log-prob is −2, and 0.05 · (3 − 1)² = 0.2.
    total = listwise.pro(s * lengths, lengths, scores, mask)
    np.testing.assert_allclose(total, ranking + 0.4, rtol=1e-5)

  def test_the_chances_of_all_orders_add_up_to_one(self):
    logps, lengths, *_ = (x[0, :3] for x in sample())
    orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    losses = listwise.plackett_luce(
      logps[np.array(orders)], lengths[np.array(orders)], np.ones((6, 3), bool)
    )
    np.testing.assert_allclose(np.exp(-losses).sum(), 1.0, rtol=1e-5)

  def test_ties_are_constants(self):
    logps, lengths, *_ = (x[0, :3] for x in sample())
    mask = np.ones(3, bool)
    value, slopes = jax.value_and_grad(listwise.pro_ranking)(
      logps, lengths, np.float32([1.0, 1.0, 1.0]), mask
    )
    np.testing.assert_allclose(value, np.log(3.0) + np.log(2.0), rtol=1e-6)
    np.testing.assert_array_equal(slopes, 0.0)

  def test_a_pair_is_a_logistic_loss(self):
    logps, lengths = np.float32([-3.0, -2.0]), np.float32([2.0, 4.0])
    mask, gap = np.ones(2, bool), 1.5
    actual = listwise.pro_ranking(logps, lengths, np.float32([gap, 0.0]), mask)
    np.testing.assert_allclose(
      actual, np.log1p(np.exp(gap * (-0.5 + 1.5))), rtol=1e-5
    )

  def test_scores_are_constants(self):
    logps, lengths, scores, mask = (x[0] for x in sample())
    for objective in (listwise.pro_ranking, listwise.pro):
      slopes = jax.grad(objective, 2)(logps, lengths, scores, mask)
      np.testing.assert_array_equal(slopes, 0.0)

  def test_likely_losers_cost_what_they_lead_by(self):
    # exp(−1000) is 0 in floats; the reference's log is then that of 1e-10.
    logps, scores = np.float32([-1000.0, -999.0]), np.float32([1.0, 0.0])
    value = listwise.pro_ranking(
      logps, np.ones(2, np.float32), scores, np.ones(2, bool)
    )
    np.testing.assert_allclose(value, np.log1p(np.exp(1.0)), rtol=1e-5)
