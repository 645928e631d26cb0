"""Objectives with a target for the preference: where they stop, and bounds.

Their equations are in preference_table_test.
"""

import chex
import jax
import numpy as np
from absl.testing import parameterized

from rlhf_jax.losses import pairwise
from rlhf_jax.losses.pairwise import soft_labels

STOP_AT_THE_TARGET = (
  soft_labels.rpo_sq,
  soft_labels.rpo_forward_kl,
  soft_labels.rpo_backward_kl,
  soft_labels.rpo_total_variation,
  soft_labels.rpo_hellinger,
)


def at(objective, log_odds, target, **options):
  """The loss where the policy's log-odds and the target's are as given."""
  zeros = np.zeros_like(target)
  return objective(log_odds, zeros, target, zeros, beta=1.0, **options)


def slopes(objective, log_odds, target):
  return jax.grad(lambda h: at(objective, h, target).sum())(log_odds)


class TargetTest(chex.TestCase):
  targets = np.float32([-3.0, 0.0, 0.5, 4.0])

  @parameterized.parameters(*STOP_AT_THE_TARGET)
  def test_nothing_is_lost_at_the_target(self, objective):
    np.testing.assert_allclose(
      at(objective, self.targets, self.targets), 0.0, atol=1e-6
    )
    np.testing.assert_allclose(
      slopes(objective, self.targets, self.targets), 0.0, atol=1e-6
    )

  @parameterized.parameters(*STOP_AT_THE_TARGET, soft_labels.dpo_soft_labels)
  def test_pulls_to_the_target_from_both_sides(self, objective):
    below = slopes(objective, self.targets - 1.0, self.targets)
    above = slopes(objective, self.targets + 1.0, self.targets)
    self.assertLess(np.max(below), 0.0)
    self.assertGreater(np.min(above), 0.0)

  @parameterized.parameters(*STOP_AT_THE_TARGET, soft_labels.dpo_soft_labels)
  def test_the_scale_multiplies_the_difference_of_scores(self, objective):
    h = np.float32([1.0, -2.0, 0.3, 5.0])
    np.testing.assert_allclose(
      at(objective, h, self.targets, reward_scale=2.0),
      at(objective, h, 2.0 * self.targets),
      rtol=1e-6,
    )


class SoftLabelsTest(chex.TestCase):
  h = np.float32([-4.0, -0.5, 1.0, 3.0])
  target = np.float32([2.0, 0.0, -1.0, 0.7])

  def test_is_the_backward_kl_and_an_entropy(self):
    q = 1.0 / (1.0 + np.exp(-self.target.astype(np.float64)))
    entropy = -q * np.log(q) - (1.0 - q) * np.log(1.0 - q)
    soft = at(soft_labels.dpo_soft_labels, self.h, self.target)
    kl = at(soft_labels.rpo_backward_kl, self.h, self.target)
    np.testing.assert_allclose(soft - kl, entropy, rtol=1e-5)
    np.testing.assert_allclose(
      slopes(soft_labels.dpo_soft_labels, self.h, self.target),
      slopes(soft_labels.rpo_backward_kl, self.h, self.target),
      rtol=1e-5,
    )

  def test_one_label_for_all_is_smoothing(self):
    target = np.full(4, np.log(0.9 / 0.1), np.float32)
    zeros = np.zeros(4, np.float32)
    np.testing.assert_allclose(
      at(soft_labels.dpo_soft_labels, self.h, target),
      pairwise.dpo(self.h, zeros, zeros, zeros, beta=1.0, label_smoothing=0.1),
      rtol=1e-5,
    )

  def test_one_label_for_all_is_exo_backwards(self):
    target = np.full(4, np.log(0.9 / 0.1), np.float32)
    zeros = np.zeros(4, np.float32)
    exo = soft_labels.exo_pair(self.h, zeros, beta=1.0, label_smoothing=0.1)
    np.testing.assert_allclose(
      exo, at(soft_labels.rpo_forward_kl, self.h, target), rtol=1e-5
    )

  def test_distances_bound_each_other(self):
    """H² ≤ TV ≤ √(H² (2 − H²)), and Pinsker: 2 TV² ≤ KL."""
    random = np.random.default_rng(0)
    h, target = 3.0 * random.normal(size=(2, 200)).astype(np.float32)
    tv = at(soft_labels.rpo_total_variation, h, target)
    squared = at(soft_labels.rpo_hellinger, h, target)
    kl = at(soft_labels.rpo_forward_kl, h, target)
    self.assertGreaterEqual(np.min(tv - squared), -1e-6)
    upper = np.sqrt(squared * (2.0 - squared))
    self.assertGreaterEqual(np.min(upper - tv), -1e-5)
    self.assertGreaterEqual(np.min(kl - 2.0 * tv**2), -1e-5)
