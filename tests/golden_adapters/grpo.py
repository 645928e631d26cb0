"""GRPO and its relatives: kernels.baselines, losses.policy_gradient, and the
masks and penalties of kernels that go with them."""

import functools

import jax
import jax.numpy as jnp

from rlhf_jax.kernels import (
  baselines,
  divergences,
  importance,
  masking,
  token_masks,
)
from rlhf_jax.losses import policy_gradient
from rlhf_jax.types import Mean

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


def old_logps(inputs):
  """Where none are given, the policy's own before the first step."""
  new = inputs['per_token_logps']
  return inputs.get('old_per_token_logps', jax.lax.stop_gradient(new))


def objective(params, mask):
  """Ours of (logps, old_logps, advantages): each of their settings is one."""
  is_whole = params['importance_sampling_level'] == 'sequence'
  if params['loss_type'] == 'cispo':
    return functools.partial(
      sequence_cispo if is_whole else policy_gradient.cispo,
      max_weight=params['epsilon_high'],
      **({'mask': mask} if is_whole else {}),
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
  surrogate = functools.partial(
    policy_gradient.clipped_surrogate, **clips(params)
  )
  if params['loss_type'] == 'sapo':
    surrogate = functools.partial(
      policy_gradient.sapo,
      temperature_positive=params['sapo_temperature_pos'],
      temperature_negative=params['sapo_temperature_neg'],
    )
  elif params['delta'] is not None:
    surrogate = functools.partial(
      policy_gradient.dual_clipped_surrogate,
      dual_clip=params['delta'],
      **clips(params),
    )
  if is_whole:
    surrogate = functools.partial(
      policy_gradient.sequence_surrogate, mask=mask, surrogate=surrogate
    )
  return surrogate


def clips(params):
  return {
    'clip_epsilon': params['epsilon_low'],
    'clip_epsilon_high': params['epsilon_high'],
  }


def sequence_cispo(new, old, advantages, mask, *, max_weight):
  """Weights of the whole response, the gradient of each token's log-prob."""
  whole = (importance.sequence_logps(x, mask) for x in (new, old))
  weights = importance.truncated_weights(*whole, high=max_weight)
  return weights * policy_gradient.policy_gradient(new, advantages)


def reduce(losses, mask, params):
  """Theirs counts a row masked whole as 0, ours not at all."""
  rows = losses.shape[0]
  if params['loss_type'] in ('grpo', 'sapo'):
    return masking.sequence_mean(losses, mask).replace(weight=rows).value
  if params['loss_type'] == 'dr_grpo':
    length = params['max_completion_length']
    return masking.fixed_length(losses, mask, length=length).value
  mean = masking.token_mean(losses, mask)
  if params['loss_type'] in BY_ITEMS:
    mean = mean.replace(weight=params['num_items_in_batch'])
  return mean.value


def luspo(losses, mask):
  """Each column times the response's length, masked ones of it as well.

  The paper's is one column; there it is masking.sequence_sum of ours.
  """
  lengths = masking.masked_sum(mask, mask, -1, keepdims=True)
  return Mean.of(lengths * losses).value


def penalty(new, old, reference, mask, params):
  """k3, times the ratio that the objective takes where they correct for it."""
  if not params['use_bias_correction_kl']:
    return divergences.k3(new, reference)
  if params['importance_sampling_level'] == 'token':
    return importance.reweighted_k3(new, old, reference)
  ratios = importance.sequence_ratios(new, old, mask)
  return ratios * divergences.k3(new, reference)


def trl_loss(inputs, **params):
  mask = inputs['mask'].astype(bool)
  new, old = inputs['per_token_logps'], old_logps(inputs)
  # Of a response one number each, or of each of its tokens.
  advantages = jnp.broadcast_to(
    inputs['advantages'].reshape(len(new), -1), new.shape
  )
  losses = objective(params, mask)(new, old, advantages)
  # Whole responses have a column in theirs, and one number repeated in ours.
  is_whole = params['importance_sampling_level'] == 'sequence'
  is_column = is_whole and params['loss_type'] in (*CLIPPED, 'sapo')
  if params['off_policy_mask_threshold'] is not None:
    losses *= token_masks.not_stale(
      new, old, advantages, mask, threshold=params['off_policy_mask_threshold']
    )
  active = mask
  if params['top_entropy_quantile'] < 1.0:
    active = token_masks.high_entropy(
      inputs['entropies'], mask, share=params['top_entropy_quantile']
    )
    losses *= active
    is_column = False
  outputs = {}
  if params['beta']:
    kl = penalty(new, old, inputs['ref_per_token_logps'], mask, params)
    losses += params['beta'] * kl
    is_column = False
    outputs |= {'per_token_kl': kl, 'kl': masking.masked_mean(kl, mask)}
  if params['loss_type'] in CLIPPED:
    ratios = importance.ratios(new, old)
    if is_whole:
      ratios = importance.sequence_ratios(new, old, mask)
    clipped = policy_gradient.is_clipped(ratios, advantages, **clips(params))
    outputs['clip_ratio_region_mean'] = (
      masking.masked_mean(clipped[:, :1], jnp.ones_like(mask[:, :1]))
      if is_whole
      else masking.masked_mean(clipped, mask)
    )
  columns = losses[:, :1] if is_column else losses
  if params['loss_type'] == 'luspo':
    loss = luspo(columns, mask)
  else:
    loss = reduce(losses, mask, params)
  if params['entropy_coef']:
    bonus = masking.token_mean(inputs['entropies'], active)
    if params['loss_type'] in BY_ITEMS:
      bonus = bonus.replace(weight=params['num_items_in_batch'])
    loss -= params['entropy_coef'] * bonus.value
  return outputs | {'per_token_loss': columns, 'loss': loss}


ADAPTERS = {
  'grpo.advantages': trl_advantages,
  'grpo.loss': trl_loss,
  'grpo.tunix_advantages': tunix_advantages,
}
