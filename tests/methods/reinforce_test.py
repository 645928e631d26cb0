"""REINFORCE: what follows each token, and what REINFORCE++ makes of it."""

import functools

import numpy as np
from absl.testing import absltest

from rlhf_jax.kernels import baselines, divergences, masking
from rlhf_jax.losses import policy_gradient as surrogates
from rlhf_jax.methods import reinforce
from rlhf_jax.training import optimizers
from tests.methods import groups, online

RESPONSES = [[(2,), (0, 2)], [(1, 0, 1), (1, 2)]]
SCORES = [[1.0, 2.0], [6.0, -3.0]]
PLUS_PLUS = {
  'batch_size': 1024,
  'objective': functools.partial(
    surrogates.clipped_surrogate, clip_epsilon=0.2
  ),
  'reduction': masking.token_mean,
  'kl_coef': 1e-4,
  'normalise': masking.whiten,
  'minibatches': 8,
  'optimizer': optimizers.Adam(learning_rate=5e-7),
}
MASK = groups.at_tokens(np.ones((2, 2)), RESPONSES) == 1.0


def returns(scores, kl_coef, discount):
  """Gₜ = γ^(T−1−t) r − β Σₖ γᵏ log-ratio of t + k, by its double sum."""
  wide = np.zeros(MASK.shape)
  for b, group in enumerate(RESPONSES):
    for k, response in enumerate(group):
      rewards = -kl_coef * groups.log_ratios(response)
      rewards[-1] += scores[b][k]
      for t in range(len(rewards)):
        later = discount ** np.arange(len(rewards) - t)
        wide[b, k, t] = later @ rewards[t:]
  return wide


class ReinforceTest(absltest.TestCase):
  def test_returns_to_go(self):
    config = reinforce.Config(steps=1, samples=2, kl_coef=0.5, discount=0.9)
    batch, metrics = groups.shaped(reinforce, config, RESPONSES, SCORES)
    np.testing.assert_allclose(
      batch.advantages, returns(SCORES, 0.5, 0.9), atol=1e-5
    )
    self.assertEqual(metrics['kl_coef'].value, 0.5)

  def test_plus_plus_whitens_over_the_whole_batch(self):
    config = reinforce.reinforce_plus_plus(steps=1, samples=2, kl_coef=0.5)
    batch, _ = groups.shaped(reinforce, config, RESPONSES, SCORES)
    plain = returns(SCORES, 0.5, 1.0)
    counted = plain[MASK]
    expected = np.where(MASK, (plain - counted.mean()) / counted.std(), 0.0)
    np.testing.assert_allclose(batch.advantages, expected, atol=1e-5)

  def test_plus_plus_with_a_baseline_centres_the_groups_first(self):
    config = reinforce.reinforce_plus_plus_baseline(steps=1, samples=2)
    batch, _ = groups.shaped(reinforce, config, RESPONSES, SCORES)
    plain = returns([[-0.5, 0.5], [4.5, -4.5]], 0.0, 1.0)
    counted = plain[MASK]
    expected = np.where(MASK, (plain - counted.mean()) / counted.std(), 0.0)
    np.testing.assert_allclose(batch.advantages, expected, atol=1e-5)

  def test_a_group_is_needed_only_by_a_baseline(self):
    reinforce.Config(steps=1, samples=1)
    with self.assertRaisesRegex(ValueError, 'samples is 1.* 2 or more'):
      reinforce.Config(steps=1, samples=1, baseline=baselines.leave_one_out)


class WiringTest(online.ShapeCase):
  method = 'reinforce'
  defaults = {
    'Config': {
      'batch_size': 512,
      'objective': surrogates.policy_gradient,
      'reduction': masking.sequence_sum,
      'kl_coef': 0.05,
      'baseline': reinforce.as_scored,
      'normalise': reinforce.as_earned,
      'discount': 1.0,
    },
    'reinforce_plus_plus': PLUS_PLUS,
    'reinforce_plus_plus_baseline': PLUS_PLUS
    | {
      'batch_size': 128,
      'samples': 8,
      'baseline': baselines.group_mean,
      'kl_coef': 0.0,
      'reference_objective': divergences.k2,
      'reference_coef': 1e-3,
    },
  }


if __name__ == '__main__':
  absltest.main()
