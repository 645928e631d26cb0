"""GRPO and its offspring: what each of a group's responses is worth."""

import dataclasses
import functools

import jax
import numpy as np
from absl.testing import absltest, parameterized

from rlhf_jax.kernels import baselines, divergences, masking
from rlhf_jax.learners import policy_gradient
from rlhf_jax.losses import policy_gradient as surrogates
from rlhf_jax.methods import grpo
from rlhf_jax.types import flatten_candidates
from tests import toy
from tests.methods import groups, online

RESPONSES = [[(2,), (0, 2), (1, 0, 1)]]
SCORES = [[1.0, 2.0, 6.0]]
ONLY = {'steps': 1, 'samples': 3}


def terms(config, batch):
  """The loss's terms on a batch, before any step."""
  rest = flatten_candidates(batch.replace(rollouts=None))
  flat = policy_gradient.flatten_rollouts(batch.rollouts)
  found, _ = grpo.loss(
    {'policy': groups.POLICY},
    {},
    rest.replace(rollouts=flat),
    jax.random.key(0),
    models=toy.MODELS,
    config=config,
  )
  return found


class GrpoTest(parameterized.TestCase):
  @parameterized.parameters(
    # Less the mean, 3, over √((4 + 1 + 9) / 2), and that much + ε.
    (grpo.Config, 7.0**0.5 + 1e-4),
    (grpo.gspo, 7.0**0.5 + 1e-4),
    (grpo.dr_grpo, 1.0),
  )
  def test_advantages_of_a_group(self, make, divisor):
    batch, _ = groups.shaped(grpo, make(**ONLY), RESPONSES, SCORES)
    gains = np.array([[-2.0, -1.0, 3.0]]) / divisor
    np.testing.assert_allclose(
      batch.advantages, groups.at_tokens(gains, RESPONSES), rtol=1e-5
    )

  def test_how_tokens_are_averaged(self):
    # Before any step the ratio is 1 and a token's loss is minus its advantage.
    responses = {
      grpo.Config: 0.0,  # Means over tokens, then over responses: centred.
      # Over 3 responses of 3 columns: −(−2 · 1 − 1 · 2 + 3 · 3) / 9.
      grpo.dr_grpo: -5 / 9,
      grpo.gspo: 0.0,
    }
    for make, expected in responses.items():
      config = make(**ONLY)
      batch, _ = groups.shaped(grpo, config, RESPONSES, SCORES)
      _, mean = terms(config, batch)['policy']
      self.assertAlmostEqual(float(mean.value), expected, places=5)

  def test_the_kl_is_in_the_loss_and_not_in_the_reward(self):
    config = grpo.Config(**ONLY)
    batch, metrics = groups.shaped(grpo, config, RESPONSES, SCORES)
    self.assertAlmostEqual(metrics['reward'].value, 3.0, places=6)
    coefficient, mean = terms(config, batch)['reference']
    self.assertEqual(coefficient, 0.04)
    ratios = [groups.log_ratios(r) for r in RESPONSES[0]]
    k3 = [np.mean(np.exp(-d) - 1 + d) for d in ratios]
    self.assertAlmostEqual(float(mean.value), np.mean(k3), places=5)
    for make in (grpo.dr_grpo, grpo.gspo):
      self.assertNotIn('reference', terms(make(**ONLY), batch))

  def test_sequence_ratios_are_clipped_as_wholes(self):
    config = grpo.gspo(**ONLY)
    batch, _ = groups.shaped(grpo, config, RESPONSES, SCORES)
    # Old log-probs of another policy: every response's ratio is far from 1.
    moved = batch.replace(logps=batch.reference_logps)
    _, mean = terms(config, moved)['policy']
    losses = []
    for response, gain in zip(
      RESPONSES[0], np.array([-2.0, -1.0, 3.0]) / (7.0**0.5 + 1e-4), strict=True
    ):
      ratio = np.exp(groups.log_ratios(response).mean())
      clipped = np.clip(ratio, 1 - 3e-4, 1 + 4e-4)
      losses.append(-min(ratio * gain, clipped * gain))
    self.assertAlmostEqual(float(mean.value), np.mean(losses), places=5)

  def test_groups_of_one_are_refused(self):
    with self.assertRaisesRegex(ValueError, 'samples is 1.* 2 or more'):
      dataclasses.replace(grpo.Config(**ONLY), samples=1)


class WiringTest(online.ShapeCase):
  method = 'grpo'
  defaults = {
    'Config': {
      'batch_size': 16,
      'samples': 64,
      'baseline': baselines.group_standardised,
      'objective': functools.partial(
        surrogates.clipped_surrogate, clip_epsilon=0.2
      ),
      'reduction': masking.sequence_mean,
      'reference_objective': divergences.k3,
      'reference_coef': 0.04,
    },
    'dr_grpo': {
      'samples': 8,
      'baseline': baselines.group_mean,
      'reduction': masking.fixed_length,
      'reference_objective': None,
      'reference_coef': 0.0,
    },
    'gspo': {
      'objective': functools.partial(
        surrogates.clipped_sequence_surrogate,
        clip_epsilon=3e-4,
        clip_epsilon_high=4e-4,
      ),
      'minibatches': 4,
      'reference_objective': None,
      'reference_coef': 0.0,
    },
  }


if __name__ == '__main__':
  absltest.main()
