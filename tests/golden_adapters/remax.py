"""ReMax: advantages.one_step_returns and the policy gradient."""

import functools

import jax
import jax.numpy as jnp

from rlhf_jax.kernels import advantages, divergences, masking
from rlhf_jax.losses import policy_gradient
from tests.golden_adapters import seqlp


def loss(inputs, *, prompt_len, kl_coef, gamma, reward_clip):
  """Log-probs are of the next token, so responses start one column early."""
  start = prompt_len - 1
  mask = inputs['attention_mask'].astype(bool)[:, prompt_len:]
  new = seqlp.next_token_logps(inputs['logits'], inputs['input_ids'])[:, start:]
  old, reference = (
    inputs[name][:, start:] for name in ('old_logprobs', 'ref_logprobs')
  )
  gains = jnp.clip(
    inputs['rewards'] - inputs['baseline_rewards'], -reward_clip, reward_clip
  )
  penalties = kl_coef * divergences.k1(old, reference)
  follow = jax.vmap(
    functools.partial(advantages.one_step_returns, discount=gamma)
  )
  returns = follow(gains, penalties, mask)
  # The penalty's share of a return, which the reference logs.
  size = jnp.abs(penalties)
  without = jnp.abs(follow(gains, jnp.zeros_like(penalties), mask))
  share = size / (without + size + 1e-6)
  return {
    'loss': masking.token_mean(
      policy_gradient.policy_gradient(new, returns), mask
    ).value,
    'returns': returns,
    'kl_ratio': masking.masked_mean(share, mask),
  }


ADAPTERS = {'remax.loss': loss}
