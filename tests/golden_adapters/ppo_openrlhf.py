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
  is a function of ours. Under a sequence ratio it corrects for the sampler by
  taking that ratio to the sampler, and weighs nothing.
  """
  advantages, mask = inputs['advantages'], inputs['mask'].astype(bool)
  new, old = inputs['log_probs'], inputs['old_log_probs']
  sampler = inputs.get('rollout_log_probs', old)
  is_gspo = policy_loss_type == 'gspo'
  is_weighted = enable_vllm_is_correction and not is_gspo
  moves = jnp.clip(divergences.k1(new, old), -20.0, 20.0)
  if is_gspo:
    before = sampler if enable_vllm_is_correction else old
    moves = importance.sequence_logps(divergences.k1(new, before), mask)
  still = jnp.zeros_like(moves)
  clips = {'clip_epsilon': clip_eps_low, 'clip_epsilon_high': clip_eps_high}
  objective = functools.partial(policy_gradient.clipped_surrogate, **clips)
  if dual_clip:
    objective = functools.partial(
      policy_gradient.dual_clipped_surrogate, dual_clip=dual_clip, **clips
    )
  reduction = masking.token_mean
  if is_gspo or not token_level_loss:
    reduction = masking.sequence_mean
  losses = objective(moves, still, advantages)
  outputs = {
    'clip_ratio': masking.masked_mean(
      policy_gradient.is_clipped(
        importance.ratios(moves, still), advantages, **clips
      ),
      mask,
    ),
    'ppo_kl': masking.masked_mean(divergences.k1(old, new), mask),
  }
  if is_weighted:
    low, high = vllm_is_truncated_threshold
    weigh = functools.partial(
      WEIGHTS[vllm_is_correction_type], low=low, high=high
    )
    if vllm_is_correction_type == 'seq-mask-tis':
      weigh = functools.partial(weigh, mask=mask)
    losses = weigh(old, sampler) * losses
    outputs['rollout_kl'] = masking.masked_mean(
      divergences.k1(sampler, old), mask
    )
  return outputs | {'loss': reduction(losses, mask).value}


ADAPTERS = {'ppo.policy_loss': policy_loss}
