"""Pairwise objectives against the probabilities they are the logs of.

The equations of those on log-ratios are in preference_table_test.
"""

import functools

import chex
import jax
import numpy as np
from absl.testing import parameterized

from rlhf_jax.losses import pairwise

CHOSEN = np.array([1.0, -0.5, 3.0, 0.0], np.float32)
REJECTED = np.array([0.2, 0.5, -1.0, 0.0], np.float32)


def choice_probability(chosen, rejected, margins=0.0):
  """exp(r_c − m) / (exp(r_c − m) + exp(r_r)): the model, by definition."""
  better = np.exp(chosen.astype(np.float64) - margins)
  return better / (better + np.exp(rejected.astype(np.float64)))


class BradleyTerryTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.parameters(0.0, 1.0, -0.5)
  def test_is_the_log_of_the_choice_probability(self, margin):
    margins = np.full(4, margin, np.float32)
    actual = self.variant(pairwise.bradley_terry)(CHOSEN, REJECTED, margins)
    expected = -np.log(choice_probability(CHOSEN, REJECTED, margin))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    one_for_all = pairwise.bradley_terry(CHOSEN, REJECTED, margin)
    np.testing.assert_allclose(one_for_all, expected, rtol=1e-5)

  @parameterized.parameters((0.0, 0.3711), (1.0 / 3, 0.4868), (1.0, 0.7981))
  def test_worked_example(self, margin, expected):
    one, other = np.float32([1.0]), np.float32([0.2])
    actual = pairwise.bradley_terry(one, other, margin)
    np.testing.assert_allclose(actual, [expected], atol=5e-5)

  def test_both_orders_of_a_pair_exhaust_the_probability(self):
    forth = pairwise.bradley_terry(CHOSEN, REJECTED)
    back = pairwise.bradley_terry(REJECTED, CHOSEN)
    np.testing.assert_allclose(np.exp(-forth) + np.exp(-back), 1.0, rtol=1e-5)

  def test_no_difference_overflows(self):
    def total(scores):
      return pairwise.bradley_terry(*scores)

    for gap, loss, slope in ((500.0, 0.0, 0.0), (-500.0, 500.0, -1.0)):
      pair = (np.float32(gap), np.float32(0.0))
      value, slopes = jax.value_and_grad(total)(pair)
      np.testing.assert_allclose(value, loss)
      np.testing.assert_allclose(slopes, [slope, -slope])

  def test_gradients(self):
    margins = np.array([0.0, 1.0, 0.5, 0.2], np.float32)
    jax.test_util.check_grads(
      pairwise.bradley_terry, (CHOSEN, REJECTED, margins), 1, ['rev'], rtol=2e-2
    )

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      pairwise.bradley_terry(CHOSEN, REJECTED[:1])
    with self.assertRaises(AssertionError):
      pairwise.bradley_terry(CHOSEN, REJECTED, np.zeros((4, 1), np.float32))


class ScaledBradleyTerryTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_counts_a_pair_as_often_as_its_margin_says(self):
    margins = np.array([1.0, 2.0, 3.0, 0.0], np.float32)
    actual = self.variant(pairwise.scaled_bradley_terry)(
      CHOSEN, REJECTED, margins
    )
    expected = -np.log(choice_probability(CHOSEN, REJECTED) ** margins)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)

  def test_gradients(self):
    scaled = functools.partial(pairwise.scaled_bradley_terry, margins=2.0)
    jax.test_util.check_grads(scaled, (CHOSEN, REJECTED), 1, ['rev'], rtol=2e-2)

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      pairwise.scaled_bradley_terry(CHOSEN, REJECTED, np.ones(2, np.float32))


class CenteringTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  def test_worked_example(self):
    actual = self.variant(pairwise.centering)(CHOSEN, REJECTED)
    np.testing.assert_allclose(actual, [1.44, 0.0, 4.0, 0.0], atol=1e-6)

  def test_pulls_both_scores_the_same_way(self):
    slopes = jax.grad(pairwise.centering, (0, 1))(
      np.float32(1.0), np.float32(0.5)
    )
    np.testing.assert_allclose(slopes, [3.0, 3.0])

  def test_refuses_what_would_broadcast(self):
    with self.assertRaises(AssertionError):
      pairwise.centering(CHOSEN, REJECTED[:1])


def log_prob_pair(gap):
  """The four log-probs of pairs whose Δ is the gap given."""
  gap = np.asarray(gap, np.float32)
  reference = np.full_like(gap, -9.0)
  return reference + 0.75 * gap, reference - 0.25 * gap, *[reference] * 2


def log_ratio_pair(gap):
  """Both log-ratios of the same pairs."""
  gap = np.asarray(gap, np.float32)
  return 0.75 * gap, -0.25 * gap


def swap(chosen, rejected, reference_chosen, reference_rejected):
  return rejected, chosen, reference_rejected, reference_chosen


GAPS = np.linspace(-30.0, 30.0, 7, dtype=np.float32)


class DpoTest(chex.TestCase):
  # S_w = −12, S_l = −10 and both reference sums −11, so Δ = −2.
  PAIR = tuple(np.float32([x]) for x in (-12.0, -10.0, -11.0, -11.0))

  @parameterized.parameters((0.0, 0.798139), (0.1, 0.778139))
  def test_worked_example(self, label_smoothing, expected):
    actual = pairwise.dpo(*self.PAIR, beta=0.1, label_smoothing=label_smoothing)
    np.testing.assert_allclose(actual, [expected], atol=1e-6)

  def test_worked_example_of_rso(self):
    pair = (np.float32([x]) for x in (-12.0, -10.0, -11.0, -11.5))
    actual = pairwise.dpo(*pair, beta=0.05)
    np.testing.assert_allclose(actual, [0.757599], atol=1e-6)

  def test_both_orders_of_a_pair_exhaust_the_probability(self):
    pair = log_prob_pair(GAPS)
    forth = pairwise.dpo(*pair, beta=0.1)
    back = pairwise.dpo(*swap(*pair), beta=0.1)
    np.testing.assert_allclose(np.exp(-forth) + np.exp(-back), 1.0, rtol=1e-5)

  def test_the_reference_itself_is_a_coin(self):
    np.testing.assert_allclose(
      pairwise.dpo(*log_prob_pair([0.0]), beta=0.7), np.log(2.0), rtol=1e-6
    )

  def test_pulls_at_both_by_how_wrong_it_is(self):
    """β σ(−β Δ), up on the chosen and down on the rejected."""

    def total(chosen, rejected, *reference):
      return pairwise.dpo(chosen, rejected, *reference, beta=0.1).sum()

    slopes = jax.grad(total, (0, 1))(*log_prob_pair(GAPS))
    expected = 0.1 / (1.0 + np.exp(0.1 * GAPS.astype(np.float64)))
    np.testing.assert_allclose(slopes, [-expected, expected], rtol=1e-5)

  @parameterized.parameters(0.05, 0.2, 0.4)
  def test_smoothed_is_least_at_the_log_odds_of_the_noise(self, noise):
    beta = 0.3
    least = np.log((1.0 - noise) / noise) / beta

    def loss(gap):
      pair = log_prob_pair(0.0)
      pair = (pair[0] + gap, *pair[1:])
      return pairwise.dpo(*pair, beta=beta, label_smoothing=noise)

    slope = jax.grad(loss)
    np.testing.assert_allclose(slope(np.float32(least)), 0.0, atol=1e-6)
    self.assertLess(slope(np.float32(least - 0.5)), -1e-3)
    self.assertGreater(slope(np.float32(least + 0.5)), 1e-3)


# The log-ratios of DpoTest.PAIR.
RATIOS = np.float32([-1.0]), np.float32([1.0])


class RobustDpoTest(parameterized.TestCase):
  def test_worked_example(self):
    actual = pairwise.robust_dpo(*RATIOS, beta=0.1, flip_rate=0.1)
    np.testing.assert_allclose(actual, [0.823139], atol=1e-6)

  @parameterized.parameters(0.0, 0.1, 0.3)
  def test_flips_average_out(self, rate):
    pair = log_ratio_pair(GAPS)
    kept = pairwise.robust_dpo(*pair, beta=0.1, flip_rate=rate)
    flipped = pairwise.robust_dpo(*pair[::-1], beta=0.1, flip_rate=rate)
    clean = pairwise.dpo(*log_prob_pair(GAPS), beta=0.1)
    expected = (1.0 - rate) * kept + rate * flipped
    np.testing.assert_allclose(expected, clean, rtol=1e-4, atol=1e-5)


class DiscopopTest(chex.TestCase):
  def test_is_logistic_below_and_exponential_above(self):
    pair = log_ratio_pair([-1e3, -2.0, 2.0, 50.0])
    actual = pairwise.discopop(*pair, beta=1.0, tau=0.05)
    expected = [1e3, np.log1p(np.exp(2.0)), np.exp(-2.0), np.exp(-50.0)]
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-9)

  def test_is_half_of_each_in_between(self):
    actual = pairwise.discopop(*log_ratio_pair([0.0]), beta=1.0, tau=0.05)
    np.testing.assert_allclose(actual, 0.5 * np.log(2.0) + 0.5, rtol=1e-6)


def at(objective, gap, **options):
  """The loss of a pair whose Δ is the gap given, chosen first."""
  return objective(gap, np.float32(0.0), **options)


class IpoSumTest(parameterized.TestCase):
  def test_worked_example(self):
    actual = pairwise.ipo_sum(*RATIOS, beta=0.1)
    np.testing.assert_allclose(actual, [49.0], rtol=1e-6)

  @parameterized.parameters(0.5, 0.7, 1.0)
  def test_rests_where_annotators_agree_as_often(self, agreement):
    """Δ = (2 p − 1) / (2 β): finite even where all of them agree."""
    beta = 0.2

    def expected_loss(gap):
      forth = at(pairwise.ipo_sum, gap, beta=beta)
      back = at(pairwise.ipo_sum, -gap, beta=beta)
      return agreement * forth + (1.0 - agreement) * back

    rest = np.float32((2.0 * agreement - 1.0) / (2.0 * beta))
    np.testing.assert_allclose(jax.grad(expected_loss)(rest), 0.0, atol=1e-5)
    self.assertGreater(jax.grad(expected_loss)(rest + 1.0), 1.0)


class HingeNormTest(chex.TestCase):
  @parameterized.parameters((0.1, 1.0, 1.2), (0.05, 1.5, 1.125))
  def test_worked_examples(self, beta, rejected, expected):
    pair = (RATIOS[0], np.float32([rejected]))
    actual = pairwise.hinge_norm(*pair, beta=beta)
    np.testing.assert_allclose(actual, [expected], rtol=1e-6)

  @parameterized.parameters(
    (-5.0, 1.5, -0.1), (9.9, 0.01, -0.1), (10.1, 0.0, 0.0), (500.0, 0.0, 0.0)
  )
  def test_stops_at_its_margin(self, gap, loss, slope):
    def hinge(gap):
      return at(pairwise.hinge_norm, gap, beta=0.1)

    actual = jax.value_and_grad(hinge)(np.float32(gap))
    np.testing.assert_allclose(actual, (loss, slope), rtol=1e-4, atol=1e-7)

  def test_an_identical_pair_costs_one_forever(self):
    np.testing.assert_allclose(
      at(pairwise.hinge_norm, np.float32(0.0), beta=0.7), 1.0
    )
