"""Surrogates of whole responses against worked ratios."""

import functools

import chex
import jax
import numpy as np
from absl.testing import parameterized

from rlhf_jax.kernels import masking
from rlhf_jax.losses import policy_gradient

# Responses of ratios 0.5 · 2 and 1.5 · 2, and one without tokens; those of 9
# are masked.
RATIOS = [[0.5, 2.0, 9.0], [1.5, 2.0, 9.0], [9.0] * 3]
NEW = np.log(RATIOS).astype(np.float32)
OLD = np.zeros((3, 3), np.float32)
MASK = np.array([[True, True, False], [True, True, False], [False] * 3])
ADVANTAGES = np.array([[2.0] * 3, [-1.0] * 3, [5.0] * 3], np.float32)

GSPO = policy_gradient.clipped_sequence_surrogate
RLOO = policy_gradient.clipped_response_surrogate


class ResponsesTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.named_parameters(
    # −min(1 · 2, 1 · 2), then −min(√3 · −1, 1.2 · −1) and −min(3 · −1, …).
    ('gspo', GSPO, masking.sequence_mean, (-2.0 + 3.0**0.5) / 2),
    ('luspo', GSPO, masking.sequence_sum, -2.0 + 3.0**0.5),
    ('rloo', RLOO, masking.sequence_mean, (-2.0 + 3.0) / 2),
  )
  def test_reduces_to_the_published_objective(
    self, objective, reduction, expected
  ):
    loss = functools.partial(objective, clip_epsilon=0.2)
    losses = self.variant(loss)(NEW, OLD, ADVANTAGES, MASK)
    np.testing.assert_allclose(
      reduction(losses, MASK).value, expected, rtol=1e-5
    )

  @parameterized.product(
    objective=(GSPO, RLOO), clip_epsilon_high=(None, 4.0), sign=(1.0, -1.0)
  )
  def test_a_whole_response_is_clipped_or_none_of_it(
    self, objective, clip_epsilon_high, sign
  ):
    def mean(logps):
      losses = objective(
        logps,
        OLD,
        np.full_like(ADVANTAGES, sign),
        MASK,
        clip_epsilon=0.2,
        clip_epsilon_high=clip_epsilon_high,
      )
      return masking.sequence_mean(losses, MASK).value

    # Both of the second response's ratios, √3 and 3, are above 1.2.
    moved = np.asarray(jax.grad(mean)(NEW) != 0.0).any(-1)
    is_clipped = sign > 0.0 and clip_epsilon_high is None
    np.testing.assert_array_equal(moved, [True, not is_clipped, False])

  @parameterized.parameters(GSPO, RLOO)
  def test_padding_is_inert(self, objective):
    def mean(logps):
      losses = objective(logps, OLD, ADVANTAGES, MASK, clip_epsilon=0.2)
      return masking.sequence_mean(losses, MASK).value

    clean = jax.value_and_grad(mean)(NEW)
    junk = np.where(MASK, NEW, np.nan).astype(np.float32)
    chex.assert_trees_all_equal(clean, jax.value_and_grad(mean)(junk))

  @parameterized.parameters(GSPO, RLOO)
  def test_gradients(self, objective):
    def of_logps(logps):
      return objective(logps, OLD, ADVANTAGES, MASK, clip_epsilon=0.2)

    near = NEW + np.float32(0.05)  # Off the kink, which is at a ratio of 1.2.
    jax.test_util.check_grads(of_logps, (near,), 1, ['rev'], rtol=2e-2)

  def test_no_advantage_is_no_loss_however_far(self):
    def total(logps):
      return RLOO(logps, OLD, 0.0 * ADVANTAGES, MASK, clip_epsilon=0.2).sum()

    value, slopes = jax.value_and_grad(total)(NEW + np.float32(300.0))
    self.assertEqual(float(value), 0.0)
    np.testing.assert_array_equal(slopes, 0.0)

  @parameterized.parameters(GSPO, RLOO)
  def test_refuses_one_dimension_and_what_would_broadcast(self, objective):
    with self.assertRaises(AssertionError):
      objective(NEW[0], OLD[0], ADVANTAGES[0], MASK[0], clip_epsilon=0.2)
    with self.assertRaises(AssertionError):
      objective(NEW, OLD, ADVANTAGES[:, :1], MASK, clip_epsilon=0.2)
