"""OpenRLHF's policy loss: clipping, sequence ratios, sampler corrections."""

import functools

import jax.numpy as jnp

from rlhf_jax.kernels import divergences, importance, masking
from rlhf_jax.losses import policy_gradient

WEIGHTS = {
  'tis': importance.truncated_weights,
  'icepop': importance.masked_weights,
  'seq-mask-tis': importance.sequence_masked_weights,
}


def policy_loss(
  inputs,
  *,
  clip_eps_low,
  clip_eps_high,
  dual_clip,
  token_level_loss,
  policy_loss_type,
  enable_vllm_is_correction,
  vllm_is_truncated_threshold,
  vllm_is_correction_type,
):
  """The reference clips log-ratios to ± 20: ours, on clipped log-ratios.

  Its dual clip is an option of one function, its sequence ratio a type; each
  is a function of ours.
  """
  advantages, mask = inputs['advantages'], inputs['mask'].astype(bool)
  log_ratios = divergences.k1(inputs['log_probs'], inputs['old_log_probs'])
  is_gspo = policy_loss_type == 'gspo'
  moves = log_ratios if is_gspo else jnp.clip(log_ratios, -20.0, 20.0)
  old = jnp.zeros_like(moves)
  clips = {'clip_epsilon': clip_eps_low, 'clip_epsilon_high': clip_eps_high}
  objective = policy_gradient.clipped_surrogate
  ratios = importance.ratios(moves, old)
  reduction = masking.token_mean
  if is_gspo:
    objective = functools.partial(
      policy_gradient.clipped_sequence_surrogate, mask=mask
    )
    ratios = importance.sequence_ratios(moves, old, mask)
  elif dual_clip:
    objective = functools.partial(
      policy_gradient.dual_clipped_surrogate, dual_clip=dual_clip
    )
  if is_gspo or not token_level_loss:
    reduction = masking.sequence_mean
  losses = objective(moves, old, advantages, **clips)
  outputs = {
    'clip_ratio': masking.masked_mean(
      policy_gradient.is_clipped(ratios, advantages, **clips), mask
    ),
    'ppo_kl': masking.masked_mean(-log_ratios, mask),
  }
  if enable_vllm_is_correction:
    low, high = vllm_is_truncated_threshold
    weigh = functools.partial(
      WEIGHTS[vllm_is_correction_type], low=low, high=high
    )
    if vllm_is_correction_type == 'seq-mask-tis':
      weigh = functools.partial(weigh, mask=mask)
    trainer, sampler = inputs['old_log_probs'], inputs['rollout_log_probs']
    losses = weigh(trainer, sampler) * losses
    outputs['rollout_kl'] = masking.masked_mean(
      divergences.k1(sampler, trainer), mask
    )
  return outputs | {'loss': reduction(losses, mask).value}


ADAPTERS = {'ppo.policy_loss': policy_loss}
