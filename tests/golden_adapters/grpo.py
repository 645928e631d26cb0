"""GRPO and its relatives: kernels.baselines, losses.policy_gradient, and the
masks and penalties of kernels that go with them."""

import functools

import jax.numpy as jnp

from rlhf_jax.kernels import (
  baselines,
  divergences,
  importance,
  masking,
  token_masks,
)
from rlhf_jax.losses import policy_gradient

SCALED = {
  'group': baselines.group_standardised,
  'batch': baselines.batch_scaled,
  'none': baselines.group_mean,
}
CLIPPED = ('grpo', 'bnpo', 'dr_grpo', 'dapo', 'luspo')
BY_ITEMS = ('dapo', 'cispo', 'vespo')


def trl_advantages(inputs, *, num_generations, scale_rewards, aggregation):
  """A response is scorable where any reward is; others count as 0 there."""
  rewards = inputs['rewards_per_func']
  count = rewards.shape[-1]
  each = jnp.moveaxis(rewards.reshape(-1, num_generations, count), -1, 0)
  masks = ~jnp.isnan(each)
  mask = masks.any(0)
  if aggregation == 'normalize_then_sum':
    each = baselines.group_standardised(each, masks)
  weights = inputs['reward_weights'][:, None, None]
  rewards = masking.masked_sum(weights * each, masks, 0)
  if aggregation == 'normalize_then_sum':
    advantages = baselines.batch_standardised(rewards, mask)
    axis = None
  else:
    advantages = SCALED[scale_rewards](rewards, mask)
    axis = None if scale_rewards == 'batch' else -1
  variance = masking.masked_var(rewards, mask, axis, ddof=1, keepdims=True)
  return {
    'advantages': advantages.reshape(-1),
    'rewards': rewards.reshape(-1),
    'std': jnp.broadcast_to(jnp.sqrt(variance), rewards.shape).reshape(-1),
  }


def tunix_advantages(inputs, *, num_generations):
  scores = inputs['rewards'].reshape(-1, num_generations)
  mask = jnp.ones(scores.shape, bool)
  standardised = baselines.group_standardised(scores, mask, epsilon=1e-6)
  return {
    'grpo': standardised.reshape(-1),
    'rloo': baselines.leave_one_out(scores, mask).reshape(-1),
    'drgrpo': baselines.group_mean(scores, mask).reshape(-1),
  }


def objective(params, mask):
  """Ours of (logps, old_logps, advantages): each of their settings is one."""
  clips = {
    'clip_epsilon': params['epsilon_low'],
    'clip_epsilon_high': params['epsilon_high'],
  }
  if params['loss_type'] == 'cispo':
    return functools.partial(
      policy_gradient.cispo, max_weight=params['epsilon_high']
    )
  if params['loss_type'] == 'sapo':
    return functools.partial(
      policy_gradient.sapo,
      temperature_positive=params['sapo_temperature_pos'],
      temperature_negative=params['sapo_temperature_neg'],
    )
  if params['loss_type'] == 'vespo':
    return functools.partial(
      policy_gradient.vespo,
      mask=mask,
      power_positive=params['vespo_k_pos'],
      decay_positive=params['vespo_lambda_pos'],
      power_negative=params['vespo_k_neg'],
      decay_negative=params['vespo_lambda_neg'],
    )
  if params['importance_sampling_level'] == 'sequence':
    return functools.partial(
      policy_gradient.clipped_sequence_surrogate, mask=mask, **clips
    )
  if params['delta'] is not None:
    return functools.partial(
      policy_gradient.dual_clipped_surrogate,
      dual_clip=params['delta'],
      **clips,
    )
  return functools.partial(policy_gradient.clipped_surrogate, **clips)


def reduce(losses, mask, params):
  """Theirs counts a row masked whole as 0, ours not at all."""
  rows = losses.shape[0]
  if params['loss_type'] in ('grpo', 'sapo'):
    return masking.sequence_mean(losses, mask).replace(weight=rows).value
  if params['loss_type'] == 'luspo':
    return masking.sequence_sum(losses, mask).replace(weight=rows).value
  if params['loss_type'] == 'dr_grpo':
    length = params['max_completion_length']
    return masking.fixed_length(losses, mask, length=length).value
  mean = masking.token_mean(losses, mask)
  if params['loss_type'] in BY_ITEMS:
    mean = mean.replace(weight=params['num_items_in_batch'])
  return mean.value


def trl_loss(inputs, **params):
  mask = inputs['mask'].astype(bool)
  new, old, reference = (
    inputs[name]
    for name in (
      'per_token_logps',
      'old_per_token_logps',
      'ref_per_token_logps',
    )
  )
  advantages = jnp.broadcast_to(inputs['advantages'][:, None], new.shape)
  losses = objective(params, mask)(new, old, advantages)
  if params['off_policy_mask_threshold'] is not None:
    losses *= token_masks.not_stale(
      new, old, advantages, mask, threshold=params['off_policy_mask_threshold']
    )
  if params['top_entropy_quantile'] < 1.0:
    losses *= token_masks.high_entropy(
      inputs['entropies'], mask, share=params['top_entropy_quantile']
    )
  outputs = {}
  if params['beta']:
    kl = (
      importance.reweighted_k3(new, old, reference)
      if params['use_bias_correction_kl']
      else divergences.k3(new, reference)
    )
    losses += params['beta'] * kl
    outputs |= {'per_token_kl': kl, 'kl': masking.masked_mean(kl, mask)}
  # Whole responses have a column in theirs, and one number repeated in ours.
  is_whole = params['importance_sampling_level'] == 'sequence'
  first = slice(1) if is_whole else slice(None)
  if params['loss_type'] in CLIPPED:
    outputs['clip_ratio_region_mean'] = masking.masked_mean(
      policy_gradient.is_clipped(
        importance.sequence_ratios(new, old, mask)
        if is_whole
        else importance.ratios(new, old),
        advantages,
        clip_epsilon=params['epsilon_low'],
        clip_epsilon_high=params['epsilon_high'],
      )[:, first],
      (mask | is_whole)[:, first],
    )
  bonus = masking.masked_mean(inputs['entropies'], mask)
  return outputs | {
    'per_token_loss': losses[:, first],
    'loss': reduce(losses, mask, params) - params['entropy_coef'] * bonus,
  }


ADAPTERS = {
  'grpo.advantages': trl_advantages,
  'grpo.loss': trl_loss,
  'grpo.tunix_advantages': tunix_advantages,
}
