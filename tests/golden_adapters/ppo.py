"""PPO, part by part: kernels.advantages and rewards, losses.policy_gradient
and losses.supervised."""

import functools

import jax.numpy as jnp

from rlhf_jax.kernels import (
  distributions,
  divergences,
  importance,
  masking,
  rewards,
)
from rlhf_jax.losses import policy_gradient, supervised
from tests.golden_adapters import gae, kl, seqlp


def everywhere(x):
  """The mask of a reference that has none."""
  return jnp.ones(x.shape, bool)


def alpaca_advantages(inputs, *, whiten_rewards, gamma, lam):
  mask = everywhere(inputs['rewards'])
  if whiten_rewards:
    whitened = masking.whiten(inputs['rewards'], mask, shift_mean=False)
    inputs = inputs | {'rewards': whitened}
  gains, returns = gae.batched_gae(inputs, mask, gamma=gamma, lam=lam)
  return {'returns': returns, 'advantages': masking.whiten(gains, mask)}


def alpaca_shape_reward(inputs, *, kl_coef, pad_token_id):
  """The estimator is k1 where positive; an empty response wraps round."""
  new, reference = inputs['logprobs'], inputs['ref_logprobs']

  def positive(new, reference):
    return jnp.maximum(divergences.k1(new, reference), 0.0)

  options = {'kl_coef': kl_coef, 'estimator': positive}
  mask = kl.empty_rows_wrap(inputs['responses'] != pad_token_id)
  scores = inputs['rewards']
  return {
    'kl': positive(new, reference),
    'shaped_rewards': kl.charged_everywhere(
      scores, new, reference, mask, **options
    ),
    'non_score_rewards': rewards.token_rewards(
      jnp.zeros_like(scores), new, reference, everywhere(new), **options
    ),
  }


def clipped_fractions(inputs, names, mask, value_mask, *, epsilon, epsilon_v):
  """Shares of tokens where the policy's and the critic's clip took hold."""
  new, old, values, old_values = (inputs[name] for name in names)
  errors = supervised.squared_error(values, inputs['returns'])
  bounded = supervised.clipped_squared_error(
    values, old_values, inputs['returns'], clip_epsilon=epsilon_v
  )
  clipped = policy_gradient.is_clipped(
    importance.ratios(new, old), inputs['advantages'], clip_epsilon=epsilon
  )
  return (
    masking.masked_mean(clipped, mask),
    masking.masked_mean(bounded > errors, value_mask),
  )


def step(inputs, names, mask, value_mask, *, epsilon, epsilon_v, vf_coef):
  """Policy loss, value loss and their sum, each a token mean."""
  new, old, values, old_values = (inputs[name] for name in names)
  losses = policy_gradient.clipped_surrogate(
    new, old, inputs['advantages'], clip_epsilon=epsilon
  )
  errors = supervised.clipped_squared_error(
    values, old_values, inputs['returns'], clip_epsilon=epsilon_v
  )
  policy_loss = masking.token_mean(losses, mask).value
  value_loss = masking.token_mean(errors, value_mask).value
  return policy_loss, value_loss, policy_loss + vf_coef * value_loss


def alpaca_step(inputs, *, cliprange, cliprange_value, vf_coef):
  names = ('logprobs', 'old_logprobs', 'values', 'old_values')
  mask = everywhere(inputs['logprobs'])
  clips = {'epsilon': cliprange, 'epsilon_v': cliprange_value}
  policy_loss, value_loss, loss = step(
    inputs, names, mask, mask, vf_coef=vf_coef, **clips
  )
  clipped, value_clipped = clipped_fractions(inputs, names, mask, mask, **clips)
  moved = divergences.k2(inputs['logprobs'], inputs['old_logprobs'])
  return {
    'loss': loss,
    'policy_loss': policy_loss,
    'value_loss': value_loss,
    'approxkl': masking.masked_mean(moved, mask),
    'clipfrac': clipped,
    'value_clipfrac': value_clipped,
    'entropy': masking.masked_mean(inputs['entropies'], mask),
  }


def trl_masks(inputs, width):
  """Through the last token, and one position further (TRL's values)."""
  columns = jnp.arange(width)[None]
  last = inputs['last_index'][:, None]
  return columns <= last, columns <= last + 1


def trl_advantages(
  inputs, *, kl_estimator, kl_coef, whiten_rewards, gamma, lam
):
  """The score falls one past the last token where there is room.

  So the response is said to be one token longer, and the log-probs of that
  token to be equal, for no KL to be charged on it.
  """
  mask, longer = trl_masks(inputs, inputs['logprobs'].shape[1])
  new, reference = (
    jnp.where(mask, inputs[name], 1.0) for name in ('logprobs', 'ref_logprobs')
  )
  estimator = {'k1': divergences.k1, 'k3': divergences.k3}[kl_estimator]
  shape = functools.partial(
    rewards.token_rewards, kl_coef=kl_coef, estimator=estimator
  )
  scores, values = inputs['scores'], jnp.where(longer, inputs['values'], 0.0)
  shaped = shape(scores, new, reference, longer)
  if whiten_rewards:
    shaped = masking.whiten(shaped, longer, shift_mean=False, ddof=1)
  gains, returns = gae.batched_gae(
    {'rewards': shaped, 'values': values}, longer, gamma=gamma, lam=lam
  )
  marked = shape(jnp.ones_like(scores), new, new, longer)
  return {
    'rewards': shaped,
    'advantages': masking.whiten(gains, mask, ddof=1),
    'returns': returns,
    'kl': estimator(new, reference),
    'non_score_reward': shape(jnp.zeros_like(scores), new, reference, longer),
    'masked_values': values,
    'padding_mask': ~mask,
    'padding_mask_p1': ~longer,
    'score_position': jnp.argmax(marked, axis=-1),
  }


def trl_step(inputs, *, cliprange, cliprange_value, vf_coef):
  names = ('new_logprobs', 'old_logprobs', 'new_values', 'old_values')
  new, old = inputs['new_logprobs'], inputs['old_logprobs']
  mask, longer = trl_masks(inputs, new.shape[1])
  clips = {'epsilon': cliprange, 'epsilon_v': cliprange_value}
  policy_loss, value_loss, loss = step(
    inputs, names, mask, longer, vf_coef=vf_coef, **clips
  )
  clipped, value_clipped = clipped_fractions(
    inputs, names, mask, longer, **clips
  )
  return {
    'loss': loss,
    'pg_loss': policy_loss,
    'vf_loss': value_loss,
    'pg_clipfrac': clipped,
    'vf_clipfrac': value_clipped,
    # Over all positions, those past the end said to have moved by nothing.
    'approxkl_unmasked_mean': masking.masked_mean(
      divergences.k2(jnp.where(mask, new, old), old), everywhere(new)
    ),
    'entropy': distributions.entropies(inputs['logits']),
  }


def clipped_surrogate(inputs, *, epsilon):
  """Ours takes log-probs: the logs of the given ratios, and 0."""
  new = jnp.log(inputs['prob_ratios'])
  losses = policy_gradient.clipped_surrogate(
    new, jnp.zeros_like(new), inputs['advantages'], clip_epsilon=epsilon
  )
  return {'loss': masking.masked_mean(losses, everywhere(losses))}


def nemo_actor(inputs, *, entropy_bonus, ratio_eps):
  """Sequences that did not end are masked out, but for the statistics."""
  new = seqlp.next_token_logps(inputs['logits'], inputs['tokens'])
  mask = inputs['mask'].astype(bool)
  ended = mask & inputs['is_end'].astype(bool)[:, None]
  losses = policy_gradient.clipped_surrogate(
    new,
    inputs['prev_logprobs'],
    inputs['advantages'],
    clip_epsilon=ratio_eps,
  )
  entropies = distributions.entropies(inputs['logits'][:, :-1])
  bonus = entropy_bonus * masking.masked_mean(entropies, ended)
  ratios = importance.ratios(new, inputs['prev_logprobs'])
  return {
    'loss': masking.token_mean(losses, ended).value - bonus,
    'scaled_entropy': bonus,
    'ppo_ratio': masking.masked_mean(ratios, mask),
    'ppo_ratio_clamped': masking.masked_mean(
      jnp.clip(ratios, 1.0 - ratio_eps, 1.0 + ratio_eps), mask
    ),
  }


def nemo_critic(inputs, *, clip_val):
  values, returns = inputs['values_with_last'][:, :-1], inputs['returns']
  losses = (
    supervised.clipped_squared_error(
      values, inputs['prev_values'], returns, clip_epsilon=clip_val
    )
    if clip_val
    else supervised.squared_error(values, returns)
  )
  mask = inputs['mask'].astype(bool)
  return {'loss': masking.token_mean(losses, mask).value}


def value_loss(inputs, *, clip_eps, token_level_loss):
  values, returns = inputs['values'], inputs['returns']
  losses = (
    supervised.clipped_squared_error(
      values, inputs['old_values'], returns, clip_epsilon=clip_eps
    )
    if clip_eps
    else supervised.squared_error(values, returns)
  )
  reduction = masking.token_mean if token_level_loss else masking.sequence_mean
  return {'loss': reduction(losses, inputs['mask'].astype(bool)).value}


ADAPTERS = {
  'ppo.alpaca_advantages': alpaca_advantages,
  'ppo.alpaca_shape_reward': alpaca_shape_reward,
  'ppo.alpaca_step': alpaca_step,
  'ppo.clipped_surrogate': clipped_surrogate,
  'ppo.nemo_actor': nemo_actor,
  'ppo.nemo_critic': nemo_critic,
  'ppo.trl_advantages': trl_advantages,
  'ppo.trl_step': trl_step,
  'ppo.value_loss': value_loss,
}
