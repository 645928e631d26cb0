"""f-DPO: its rewards against the derivatives of the divergences' f.

The equations of the losses are in preference_table_test.
"""

import functools

import chex
import numpy as np
from absl.testing import parameterized

from rlhf_jax.losses import pairwise
from rlhf_jax.losses.pairwise import f_divergences
from rlhf_jax.methods import dpo

ALPHA = 0.3


def forward_kl(t):
  return -np.log(t)


def jensen_shannon(t):
  return t * np.log(t) - (t + 1.0) * np.log((t + 1.0) / 2.0)


def alpha_divergence(t):
  power = t ** (1.0 - ALPHA) - (1.0 - ALPHA) * t - ALPHA
  return power / (ALPHA * (ALPHA - 1.0))


def alpha_rewards(log_ratio):
  return f_divergences.alpha_rewards(log_ratio, alpha=ALPHA)


def pairs():
  """The four log-probs of pairs, and both log-ratios."""
  random = np.random.default_rng(0)
  logps = [random.normal(size=5).astype(np.float32) - 5.0 for _ in range(4)]
  return logps, (logps[0] - logps[2], logps[1] - logps[3])


class RewardsTest(chex.TestCase):
  @chex.variants(with_jit=True, without_jit=True)
  @parameterized.named_parameters(
    ('forward_kl', f_divergences.forward_kl_rewards, forward_kl),
    ('jensen_shannon', f_divergences.jensen_shannon_rewards, jensen_shannon),
    ('alpha', alpha_rewards, alpha_divergence),
  )
  def test_are_the_slope_of_f_up_to_a_constant(self, rewards, f):
    log_ratio = np.linspace(-3.0, 3.0, 7)
    t, step = np.exp(log_ratio), 1e-5
    slope = (f(t + step) - f(t - step)) / (2.0 * step)
    actual = self.variant(rewards)(log_ratio.astype(np.float32))
    np.testing.assert_allclose(
      actual - actual[0], slope - slope[0], rtol=1e-4, atol=1e-4
    )

  @parameterized.parameters(
    f_divergences.forward_kl_rewards,
    f_divergences.jensen_shannon_rewards,
    alpha_rewards,
  )
  def test_never_fall_as_the_policy_rises(self, rewards):
    log_ratio = np.linspace(-1e3, 1e3, 401, dtype=np.float32)
    self.assertGreaterEqual(np.diff(rewards(log_ratio)).min(), 0.0)


class DpoAlphaTest(chex.TestCase):
  def test_goes_from_the_reverse_to_the_forward_kl(self):
    logps, ratios = pairs()
    small = f_divergences.dpo_alpha(*ratios, beta=0.3, alpha=1e-4)
    np.testing.assert_allclose(small, pairwise.dpo(*logps, beta=0.3), rtol=1e-3)
    one = f_divergences.dpo_alpha(*ratios, beta=0.3, alpha=1.0)
    np.testing.assert_allclose(
      one, f_divergences.dpo_forward_kl(*ratios, beta=0.3), rtol=1e-5
    )

  def test_a_config_may_name_the_limit(self):
    objective = functools.partial(pairwise.dpo_alpha, beta=0.3, alpha=0.0)
    dpo.Config(steps=1, objective=objective)
    logps, ratios = pairs()
    np.testing.assert_allclose(
      objective(*ratios), pairwise.dpo(*logps, beta=0.3), rtol=1e-6
    )
