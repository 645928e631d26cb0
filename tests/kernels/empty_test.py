"""What each quantity is for a response without tokens, and for one alone.

A response may be masked whole (it was empty, or could not be scored), and a
batch or a group may hold a single one. Then a sum and a mean are 0, a ratio is
1, an advantage and a loss are 0, and the row weighs nothing in an average over
responses; nothing is NaN, and neither is its gradient.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.kernels import (
  advantages,
  baselines,
  divergences,
  importance,
  length_bias,
  masking,
  pair_weights,
  rewards,
  selection,
  token_masks,
)
from rlhf_jax.losses import listwise, policy_gradient

NAN = np.float32('nan')
MASK = np.array([[True, True, False], [False] * 3])  # The second is empty.
LOGPS = np.array([[-1.0, -2.0, NAN], [NAN] * 3], np.float32)
ONES = np.ones((2, 3), np.float32)
CLIPS = {'clip_epsilon': 0.2}


class EmptyResponseTest(parameterized.TestCase):
  def test_sums_means_and_ratios(self):
    np.testing.assert_array_equal(masking.masked_sum(LOGPS, MASK, -1), [-3, 0])
    np.testing.assert_array_equal(
      masking.masked_mean(LOGPS, MASK, -1), [-1.5, 0]
    )
    moved = LOGPS + np.float32(0.5)
    for ratio in (importance.sequence_ratios, importance.response_ratios):
      np.testing.assert_array_equal(ratio(moved, LOGPS, MASK)[1], 1.0)
    np.testing.assert_array_equal(
      pair_weights.response_weights(LOGPS, moved, MASK)[1], 1.0
    )
    np.testing.assert_array_equal(
      length_bias.mean_logps(jnp.zeros(1), jnp.zeros(1)), 0.0
    )

  @parameterized.parameters(
    (masking.token_mean, 2), (masking.sequence_mean, 1),
    (masking.sequence_sum, 1), (masking.fixed_length, 6),
  )  # fmt: skip
  def test_weight_in_an_average(self, reduction, weight):
    """None, but for the average that counts every row whatever it holds."""
    self.assertEqual(reduction(LOGPS, MASK).weight, weight)
    nothing = reduction(LOGPS[1:], MASK[1:])
    self.assertEqual(nothing.value, 0.0)

  def test_its_score_is_dropped_and_its_return_0(self):
    shaped = rewards.token_rewards(
      np.array([1.0, 5.0], np.float32), LOGPS, LOGPS, MASK, kl_coef=0.1
    )
    np.testing.assert_array_equal(shaped, [[0, 1, 0], [0, 0, 0]])
    for estimate in (
      lambda: advantages.gae(LOGPS[1], LOGPS[1], MASK[1])[0],
      lambda: advantages.discounted_returns(LOGPS[1], MASK[1], discount=0.9),
      lambda: advantages.one_step_returns(jnp.float32(5.0), LOGPS[1], MASK[1]),
    ):
      np.testing.assert_array_equal(estimate(), 0.0)

  @parameterized.parameters(
    policy_gradient.clipped_sequence_surrogate,
    policy_gradient.clipped_response_surrogate,
  )
  def test_losses_of_whole_responses_have_no_gradient(self, function):
    def loss(logps):
      losses = function(logps, LOGPS, ONES, MASK, **CLIPS)
      return masking.sequence_mean(losses, MASK).value

    value, slopes = jax.value_and_grad(loss)(LOGPS)
    self.assertEqual(value, -1.0)
    chex.assert_tree_all_finite(slopes)
    np.testing.assert_array_equal(slopes[1], 0.0)

  def test_lists_without_candidates_cost_nothing(self):
    nobody = np.zeros((1, 3), bool)
    arrays = [LOGPS[1:]] * 3
    for loss in (
      lambda p: listwise.rrhf(p, *arrays[1:], nobody),
      lambda p: listwise.plackett_luce(p, arrays[1], nobody),
      lambda p: listwise.pro(p, *arrays[1:], nobody),
    ):
      value, slope = jax.value_and_grad(lambda p, f=loss: f(p)[0])(arrays[0])
      self.assertEqual(value, 0.0)
      np.testing.assert_array_equal(slope, 0.0)

  def test_masks_of_no_tokens_are_empty(self):
    kept = token_masks.high_entropy(LOGPS[1:], MASK[1:], share=0.2)
    self.assertFalse(np.asarray(kept).any())
    stale = token_masks.not_stale(
      LOGPS, LOGPS, -ONES, MASK, threshold=jnp.float32(0.1)
    )
    self.assertTrue(np.asarray(stale).all())


class AloneTest(parameterized.TestCase):
  @parameterized.parameters(
    baselines.group_mean, baselines.leave_one_out,
    baselines.group_standardised, baselines.batch_scaled,
    baselines.batch_standardised, masking.whiten, masking.centre,
  )  # fmt: skip
  def test_one_to_be_compared_with_none_gets_0(self, function):
    scores = np.array([[3.0, NAN], [NAN, NAN]], np.float32)
    np.testing.assert_array_equal(function(scores, ~np.isnan(scores)), 0.0)
    np.testing.assert_array_equal(
      function(np.float32([[3.0]]), np.array([[True]])), 0.0
    )

  @parameterized.parameters(0, 1)
  def test_the_spread_of_one_or_of_none_is_0(self, ddof):
    for mask in ([True, False], [False, False]):
      variance = masking.masked_var(
        np.float32([2.0, NAN]), np.array(mask), ddof=ddof
      )
      self.assertEqual(variance, 0.0)

  def test_those_to_be_compared_with_others(self):
    mask = np.array([[True, True, False], [True, False, False], [False] * 3])
    np.testing.assert_array_equal(
      baselines.comparable(mask),
      [[True, True, False], [False] * 3, [False] * 3],
    )

  def test_one_alone_leaves_the_spread_of_the_others_as_it_is(self):
    """(A − mean) / (σ + ε) over the two that were compared: ± 1 / √2."""
    scores = np.array([[1.0, 3.0], [7.0, NAN]], np.float32)
    mask = ~np.isnan(scores)
    gains = baselines.leave_one_out(scores, mask)
    found = baselines.batch_standardised(gains, baselines.comparable(mask))
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found, [[-half, half], [0, 0]], atol=1e-3)


class UnscoredTest(parameterized.TestCase):
  """A candidate whose score is NaN is none, though the mask may say so."""

  SCORES = np.array([NAN, 2.0, 1.0, NAN], np.float32)
  EVERYONE = np.ones(4, bool)

  def test_top(self):
    best, kept = selection.top(self.SCORES, self.EVERYONE, count=4)
    np.testing.assert_array_equal(best[:2], [1, 2])
    np.testing.assert_array_equal(kept, [True, True, False, False])

  def test_acceptance(self):
    chances = selection.acceptance(self.SCORES, self.EVERYONE, beta=0.5)
    np.testing.assert_allclose(chances, [0.0, 1.0, np.exp(-2.0), 0.0])
    infinite = np.float32([np.inf, 1.0, np.inf, -np.inf])
    chances = selection.acceptance(infinite, self.EVERYONE, beta=0.5)
    np.testing.assert_array_equal(chances, [1.0, 0.0, 1.0, 0.0])

  def test_rejection_sampling_keeps_the_scored_alone(self):
    for seed in range(5):
      kept, mask = selection.rejection_sample(
        jax.random.key(seed), self.SCORES, self.EVERYONE, beta=0.5, count=3
      )
      self.assertEqual(set(np.asarray(kept)[np.asarray(mask)]), {1, 2})

  def test_a_divergence_from_itself_is_0_where_tokens_are_ruled_out(self):
    logits = jnp.array([0.0, -jnp.inf, 1.0])
    value, slope = jax.value_and_grad(divergences.categorical_kl)(
      logits, logits
    )
    self.assertEqual(value, 0.0)
    chex.assert_tree_all_finite(slope)


if __name__ == '__main__':
  absltest.main()
