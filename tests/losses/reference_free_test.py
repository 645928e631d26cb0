"""Objectives without a reference: worked values and what they reduce to.

Their equations are in preference_table_test.
"""

import chex
import jax
import numpy as np
from absl.testing import parameterized

from rlhf_jax.losses import pairwise
from rlhf_jax.losses.pairwise import reference_free


def floats(*values):
  return tuple(np.float32([x]) for x in values)


def pairs(size=6):
  """Sums of some five tokens each, and lengths: chosen, rejected, twice."""
  random = np.random.default_rng(0)
  logps = [-6.0 + random.normal(size=size) for _ in range(2)]
  lengths = [random.integers(3, 8, size) for _ in range(2)]
  return tuple(x.astype(np.float32) for x in (*logps, *lengths))


class SlicTest(chex.TestCase):
  @parameterized.parameters(
    (-12.0, -12.3, 0.7), (-12.0, -13.4, 0.0), (-10.0, -9.0, 2.0)
  )
  def test_worked_examples(self, chosen, rejected, expected):
    triple = floats(chosen, rejected, -8.0)
    plain = reference_free.slic(*triple, likelihood_coef=0.0)
    np.testing.assert_allclose(plain, [expected], atol=1e-5)
    held = reference_free.slic(*triple, likelihood_coef=0.5)
    np.testing.assert_allclose(held, [expected + 4.0], atol=1e-5)

  def test_past_the_margin_only_imitation_is_left(self):
    def loss(*logps):
      return reference_free.slic(*logps, margin=1.0, likelihood_coef=0.1)

    slope = jax.grad(loss, (0, 1, 2))
    within = [np.float32(x) for x in (-8.0, -8.5, -7.0)]
    np.testing.assert_allclose(slope(*within), (-1.0, 1.0, -0.1), rtol=1e-6)
    beyond = [np.float32(x) for x in (-8.0, -9.5, -7.0)]
    np.testing.assert_allclose(slope(*beyond), (0.0, 0.0, -0.1), rtol=1e-6)


class HingeTest(chex.TestCase):
  def test_worked_example(self):
    actual = reference_free.hinge(*floats(-12.0, -10.0), beta=0.05)
    np.testing.assert_allclose(actual, [1.1], rtol=1e-6)

  def test_is_slic_by_its_margin(self):
    chosen, rejected, *_ = pairs()
    slic = reference_free.slic(
      chosen, rejected, chosen, margin=2.0, likelihood_coef=0.0
    )
    np.testing.assert_allclose(
      reference_free.hinge(chosen, rejected, beta=0.5), slic / 2.0, rtol=1e-6
    )


class CpoTest(chex.TestCase):
  @parameterized.parameters(0.0, 1.0, 0.3)
  def test_is_dpo_from_a_uniform_reference_and_imitation(self, coefficient):
    chosen, rejected, *_ = pairs()
    uniform = np.full_like(chosen, -5.0)
    actual = reference_free.cpo(
      chosen, rejected, beta=0.2, likelihood_coef=coefficient
    )
    dpo = pairwise.dpo(chosen, rejected, uniform, uniform, beta=0.2)
    np.testing.assert_allclose(actual, dpo - coefficient * chosen, rtol=1e-5)


class OrpoTest(chex.TestCase):
  def test_worked_example(self):
    """Odds of 4 : 1 and 1 : 1, so a ratio of 4, which σ turns into 0.8."""
    chosen, rejected = floats(3.0 * np.log(0.8), 5.0 * np.log(0.5))
    lengths = floats(3.0, 5.0)
    ranking = reference_free.odds_ratio(chosen, rejected, *lengths)
    np.testing.assert_allclose(ranking, [-np.log(0.8)], rtol=1e-5)
    whole = reference_free.orpo(chosen, rejected, *lengths, beta=0.5)
    np.testing.assert_allclose(whole, [-1.5 * np.log(0.8)], rtol=1e-5)

  def test_near_certainty_keeps_its_digits(self):
    """p̄ = exp(−1e-4), where 1 − exp would keep three digits of them."""
    certain, unlikely = floats(-1e-4, -3.0)
    one = np.ones(1, np.float32)
    p, q = (np.exp(np.float64(x)) for x in (certain, unlikely))
    for pair, ratio in (
      ((unlikely, certain), (q / (1.0 - q)) / (p / (1.0 - p))),
      ((certain, unlikely), (p / (1.0 - p)) / (q / (1.0 - q))),
    ):
      actual = reference_free.odds_ratio(*pair, one, one)
      np.testing.assert_allclose(
        actual, -np.log(ratio / (1.0 + ratio)), rtol=1e-4
      )

  @parameterized.parameters(0.0, -1e-12, -1e3)
  def test_certainty_is_bounded(self, logp):
    def ranking(chosen, rejected):
      one = np.float32(1.0)
      return reference_free.odds_ratio(chosen, rejected, one, one)

    pair = np.float32(-1.0), np.float32(logp)
    value, slopes = jax.value_and_grad(ranking, (0, 1))(*pair)
    chex.assert_tree_all_finite((value, slopes))
    self.assertLess(value, 16.0)


class SimpoTest(chex.TestCase):
  def test_a_gap_of_the_margin_is_a_coin(self):
    """The margin is of rewards: β (gap per token) = γ, not gap = γ."""
    pair = floats(-4.0, -12.0, 4.0, 8.0)  # −1 and −1.5 per token.
    for beta, gamma in ((2.0, 1.0), (10.0, 5.0)):
      actual = reference_free.simpo(*pair, beta=beta, gamma=gamma)
      np.testing.assert_allclose(actual, [np.log(2.0)], rtol=1e-6)

  def test_saying_it_twice_changes_nothing(self):
    chosen, rejected, chosen_lengths, rejected_lengths = pairs()
    options = {'beta': 2.0, 'gamma': 0.5}
    once = reference_free.simpo(*pairs(), **options)
    twice = reference_free.simpo(
      2.0 * chosen, rejected, 2.0 * chosen_lengths, rejected_lengths, **options
    )
    np.testing.assert_allclose(once, twice, rtol=1e-6)


class AlphaPoTest(chex.TestCase):
  @parameterized.parameters(1e-4, -1e-4)
  def test_is_simpo_where_alpha_vanishes(self, alpha):
    options = {'beta': 2.0, 'gamma': 0.5, 'label_smoothing': 0.1}
    np.testing.assert_allclose(
      reference_free.alphapo(*pairs(), alpha=alpha, **options),
      reference_free.simpo(*pairs(), **options),
      rtol=1e-3,
    )

  def test_worked_example(self):
    """α = 1: rewards of 1 − 1 / p̄, here 1 − 2 and 1 − 4."""
    logps = floats(2.0 * np.log(0.5), 3.0 * np.log(0.25))
    actual = reference_free.alphapo(
      *logps, *floats(2.0, 3.0), beta=1.0, gamma=0.0, alpha=1.0
    )
    np.testing.assert_allclose(actual, [np.log1p(np.exp(-2.0))], rtol=1e-5)
