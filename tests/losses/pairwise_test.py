"""Pairwise objectives against the probabilities they are the logs of."""

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
  def test_counts_a_pair_as_often_as_its_strength(self):
    strengths = np.array([1.0, 2.0, 3.0, 0.0], np.float32)
    actual = self.variant(pairwise.scaled_bradley_terry)(
      CHOSEN, REJECTED, strengths
    )
    expected = -np.log(choice_probability(CHOSEN, REJECTED) ** strengths)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)

  def test_gradients(self):
    scaled = functools.partial(pairwise.scaled_bradley_terry, strengths=2.0)
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
