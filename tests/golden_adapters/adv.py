"""OpenRLHF's advantages: kernels.baselines, advantages, rewards, masking."""

import functools

import jax
import jax.numpy as jnp

from rlhf_jax.kernels import advantages, baselines, masking, rewards
from tests.golden_adapters import gae
from tests.golden_adapters.cases import Where

BASELINES = {
  'rloo': baselines.leave_one_out,
  'group_norm': functools.partial(baselines.group_standardised, epsilon=1e-9),
  'dr_grpo': baselines.group_mean,
  'reinforce_baseline': baselines.group_mean,
}
WHITENED = ('gae', 'reinforce', 'reinforce_baseline')


def openrlhf(
  inputs,
  *,
  estimator,
  n_samples_per_prompt,
  gamma,
  lam,
  kl_coef,
  reward_clip_range,
  no_std_norm,
):
  """Baselines first, then clipping, then a KL penalty on each token.

  The recorded KL goes in as the log-prob, over a reference of 0. The reference
  takes a negative coefficient for 0, and γ for 1 where it groups by prompts.
  """
  scores, mask = inputs['rewards'], inputs['mask'].astype(bool)
  if estimator in BASELINES:
    gamma = 1.0
    groups = scores.reshape(-1, n_samples_per_prompt)
    gains = BASELINES[estimator](groups, jnp.ones(groups.shape, bool))
    scores = gains.reshape(-1)
  if reward_clip_range:
    scores = jnp.clip(scores, *reward_clip_range)
  shaped = rewards.token_rewards(
    scores,
    inputs['kl'],
    jnp.zeros_like(inputs['kl']),
    mask,
    kl_coef=max(kl_coef, 0.0),
  )
  if estimator == 'gae':
    both = {'rewards': shaped, 'values': inputs['values']}
    gains, returns = gae.batched_gae(both, mask, gamma=gamma, lam=lam)
  else:
    follow = functools.partial(advantages.discounted_returns, discount=gamma)
    gains = returns = jax.vmap(follow)(shaped, mask)
  if estimator in WHITENED:
    normalise = masking.centre if no_std_norm else masking.whiten
    gains = Where(normalise(gains, mask), mask, gae.OURS_ZERO)
  return {'advantages': gains, 'returns': returns}


ADAPTERS = {'adv.openrlhf': openrlhf}
