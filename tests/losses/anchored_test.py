"""Objectives that count each response by itself: where they pull it to.

Their equations are in preference_table_test.
"""

import chex
import jax
import numpy as np
from absl.testing import parameterized

from rlhf_jax.losses.pairwise import anchored


def slopes(objective, u, v, beta):
  """Derivatives in the log-ratios u and v."""

  def loss(u, v):
    return objective(u, v, beta=beta)

  return jax.grad(loss, (0, 1))(np.float32(u), np.float32(v))


class NcaPairTest(chex.TestCase):
  @parameterized.parameters(0.1, 1.0)
  def test_the_chosen_rests_at_log_two(self, beta):
    """σ(β u) = 2 / 3, where one label of chosen meets half a noise label."""
    rest = np.log(2.0) / beta
    for v in (-3.0, 3.0):
      np.testing.assert_allclose(
        slopes(anchored.nca_pair, rest, v, beta)[0], 0.0, atol=1e-6
      )
      self.assertLess(slopes(anchored.nca_pair, rest - 1.0, v, beta)[0], 0.0)
      self.assertGreater(slopes(anchored.nca_pair, rest + 1.0, v, beta)[0], 0.0)


class BcoPairTest(chex.TestCase):
  def test_is_two_classifications(self):
    chosen = np.float32([-3.0, 1.0, 7.0])
    rejected = np.float32([2.0, 0.0, -4.0])
    both = anchored.bco_pair(chosen, rejected, beta=0.4)
    one = anchored.chosen_only(chosen, beta=0.4)
    other = anchored.chosen_only(-rejected, beta=0.4)
    np.testing.assert_allclose(both, one + other, rtol=1e-6)


class SppoHardTest(chex.TestCase):
  @parameterized.parameters(0.1, 1.0)
  def test_rests_half_an_eta_from_the_last_round(self, beta):
    u, v = np.float32(0.5 / beta), np.float32(-0.5 / beta)
    loss = anchored.sppo_hard(u, v, beta=beta)
    np.testing.assert_allclose(loss, 0.0, atol=1e-6)
    pulls = slopes(anchored.sppo_hard, 0.0, 0.0, beta)
    np.testing.assert_allclose(pulls, (-1.0 / beta, 1.0 / beta), rtol=1e-5)


class ApoTest(chex.TestCase):
  def test_zero_moves_the_two_apart_from_the_reference(self):
    pulls = slopes(anchored.apo_zero, 0.0, 0.0, beta=0.4)
    np.testing.assert_allclose(pulls, (-0.1, 0.1), rtol=1e-5)

  def test_down_lets_the_chosen_fall_once_they_are_apart(self):
    at_reference = slopes(anchored.apo_down, 0.0, 0.0, beta=0.4)
    np.testing.assert_allclose(at_reference, (0.0, 0.1), atol=1e-6)
    apart = slopes(anchored.apo_down, 0.0, -50.0, beta=0.4)
    np.testing.assert_allclose(apart, (0.1, 0.0), atol=1e-6)
