"""RLOO: each response against the mean of the others."""

import numpy as np
from absl.testing import absltest

from rlhf_jax.kernels import baselines, masking
from rlhf_jax.losses import policy_gradient as surrogates
from rlhf_jax.methods import rloo
from tests.methods import groups, online

RESPONSES = [[(2,), (0, 2), (1, 0, 1)], [(0, 0, 0), (1, 2), (2,)]]
SCORES = [[1.0, 2.0, 6.0], [-4.0, 0.0, 1.0]]


class RlooTest(absltest.TestCase):
  def config(self, **changes):
    base = {'steps': 1, 'samples': 3, 'kl_coef': 0.0}
    return rloo.Config(**(base | changes))

  def test_the_mean_of_the_others_is_taken_off(self):
    batch, metrics = groups.shaped(rloo, self.config(), RESPONSES, SCORES)
    # 1 − (2 + 6) / 2, 2 − (1 + 6) / 2, 6 − (1 + 2) / 2; the same below.
    gains = [[-3.0, -1.5, 4.5], [-4.5, 1.5, 3.0]]
    np.testing.assert_allclose(
      batch.advantages, groups.at_tokens(gains, RESPONSES), atol=1e-5
    )
    self.assertAlmostEqual(metrics['score'].value, 1.0, places=6)
    self.assertAlmostEqual(metrics['reward'].value, 1.0, places=6)

  def test_the_kl_of_the_whole_response_is_in_its_reward(self):
    config = self.config(kl_coef=0.5)
    batch, metrics = groups.shaped(rloo, config, RESPONSES, SCORES)
    kl = [[groups.log_ratios(r).sum() for r in group] for group in RESPONSES]
    rewards = np.array(SCORES) - 0.5 * np.array(kl)
    others = (rewards.sum(axis=1, keepdims=True) - rewards) / 2
    np.testing.assert_allclose(
      batch.advantages,
      groups.at_tokens(rewards - others, RESPONSES),
      atol=1e-4,
    )
    self.assertAlmostEqual(metrics['reward'].value, rewards.mean(), places=5)
    self.assertAlmostEqual(metrics['kl'].value, np.mean(kl), places=5)

  def test_what_is_taken_off_scores_comes_first(self):
    config = self.config(
      score_clip=3.0,
      unended_penalty=0.5,
      length_penalty=lambda lengths: lengths / 10,
    )
    batch, _ = groups.shaped(rloo, config, RESPONSES[:1], SCORES[:1])
    # 1 − .1, 2 − .2, min(6, 3) − .5 − .3: the last is cut off at three tokens.
    rewards = np.array([0.9, 1.8, 2.2])
    others = (rewards.sum() - rewards) / 2
    np.testing.assert_allclose(
      batch.advantages,
      groups.at_tokens([rewards - others], RESPONSES[:1]),
      atol=1e-5,
    )

  def test_one_response_has_no_others(self):
    with self.assertRaisesRegex(ValueError, 'samples is 1.* 2 or more'):
      self.config(samples=1)


class WiringTest(online.ShapeCase):
  method = 'rloo'
  defaults = {
    'Config': {
      'samples': 4,
      'baseline': baselines.leave_one_out,
      'objective': surrogates.policy_gradient,
      'reduction': masking.sequence_sum,
      'kl_coef': 0.05,
    }
  }


if __name__ == '__main__':
  absltest.main()
