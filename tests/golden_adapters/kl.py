"""Divergences and what is made of them: divergences, rewards of kernels."""

import functools

import jax.numpy as jnp

from rlhf_jax.kernels import distributions, divergences, rewards
from tests.golden_adapters import seqlp


def clipped(estimator, bound):
  """An estimator held within ± bound: a composition, not an option."""
  return lambda new, reference: jnp.clip(
    estimator(new, reference), -bound, bound
  )


def adaptive_controller(inputs, *, init, target, horizon, n_steps, k_beta):
  """AlpacaFarm's constant K_β is steps / horizon of one step in 1 / K_β."""
  update = functools.partial(rewards.adaptive_kl_coef, target=target)
  openrlhf, alpaca_farm = [init], [init]
  for kl in inputs['current']:
    openrlhf.append(update(openrlhf[-1], kl, horizon=horizon, steps=n_steps))
    alpaca_farm.append(update(alpaca_farm[-1], kl, horizon=1 / k_beta, steps=1))
  return {
    'openrlhf': jnp.stack(openrlhf[1:]),
    'alpaca_farm': jnp.stack(alpaca_farm[1:]),
  }


def estimators(inputs):
  """OpenRLHF clips every estimator to ± 10; NeMo-Aligner clips none."""
  new, reference = inputs['log_probs'], inputs['ref_log_probs']
  k1, k2, k3 = (
    clipped(estimator, 10.0)(new, reference)
    for estimator in (divergences.k1, divergences.k2, divergences.k3)
  )
  return {
    'k1': k1,
    'k2': k2,
    'k3': k3,
    'loss': jnp.sum(k1 + 2.0 * k2 + 3.0 * k3),
    'nemo_abs': divergences.absolute(new, reference),
    'nemo_signed': divergences.k1(new, reference),
  }


def estimators_unclamped(inputs, *, clamp_value):
  bound = jnp.inf if clamp_value is None else clamp_value
  k1, k2, k3 = (
    clipped(estimator, bound)(inputs['log_probs'], inputs['ref_log_probs'])
    for estimator in (divergences.k1, divergences.k2, divergences.k3)
  )
  return {
    'kl': k1,
    'mse_kl': k2,
    'low_var_kl': k3,
    'loss': jnp.sum(k1 + k2 + k3),
  }


def full(inputs):
  logits, tokens = inputs['logits'], inputs['tokens']
  kl = divergences.categorical_kl(logits, inputs['ref_logits'])
  entropies = distributions.entropies(logits)
  return {
    'full_kl': kl,
    'entropy': entropies,
    'logprobs': seqlp.next_token_logps(logits, tokens),
    'ref_logprobs': seqlp.next_token_logps(inputs['ref_logits'], tokens),
    'loss': jnp.sum(kl) + 0.5 * jnp.sum(entropies),
  }


def charged_everywhere(scores, new, reference, mask, **options):
  """Token rewards, with the KL charged on masked positions as well.

  Ours charges the tokens that the policy wrote; the rest is what it charges
  when all of the row is said to be the response, without a score.
  """
  everywhere = jnp.ones(mask.shape, bool)
  return jnp.where(
    mask,
    rewards.token_rewards(scores, new, reference, mask, **options),
    rewards.token_rewards(
      jnp.zeros_like(scores), new, reference, everywhere, **options
    ),
  )


def empty_rows_wrap(mask):
  """The mask whose last token is where a reference wraps round to."""
  last_column = jnp.arange(mask.shape[1])[None] == mask.shape[1] - 1
  return jnp.where(mask.any(-1, keepdims=True), mask, last_column)


def nemo_rewards(inputs, *, penalty, use_absolute_kl):
  """Column t is token t + 1; the score falls on the last one of the mask.

  That of a row without a response falls on its prompt's last token in theirs.
  """
  new, reference = inputs['log_probs'], inputs['ref_log_probs']
  estimator = divergences.absolute if use_absolute_kl else divergences.k1
  columns = 1 + jnp.arange(new.shape[1])[None]
  mask = columns >= inputs['prompt_lengths'][:, None]
  mask &= columns < inputs['response_lengths'][:, None]
  last = jnp.maximum(inputs['response_lengths'][:, None] - 2, 0) + 1
  placed = jnp.where(mask.any(-1, keepdims=True), mask, columns == last)
  shaped = charged_everywhere(
    inputs['scores'],
    new,
    reference,
    placed,
    kl_coef=penalty,
    estimator=estimator,
  )
  return {
    'kl': estimator(new, reference),
    'rewards': shaped,
    'mask': mask.astype(jnp.float32),
  }


def shaped_rewards(inputs, *, kl_estimator, kl_coef, reward_clip_range):
  """OpenRLHF: clipped scores, clipped estimators, no negative coefficient."""
  new, reference = inputs['log_probs'], inputs['ref_log_probs']
  scores = inputs['scores']
  if reward_clip_range:
    scores = jnp.clip(scores, *reward_clip_range)
  estimator = clipped(
    {
      'k1': divergences.k1,
      'k2': divergences.k2,
      'k3': divergences.k3,
    }[kl_estimator],
    10.0,
  )
  shaped = charged_everywhere(
    scores,
    new,
    reference,
    empty_rows_wrap(inputs['mask'].astype(bool)),
    kl_coef=max(kl_coef, 0.0),
    estimator=estimator,
  )
  return {'rewards': shaped, 'kl': estimator(new, reference)}


ADAPTERS = {
  'kl.adaptive_controller': adaptive_controller,
  'kl.estimators': estimators,
  'kl.estimators_unclamped': estimators_unclamped,
  'kl.full': full,
  'kl.nemo_rewards': nemo_rewards,
  'kl.shaped_rewards': shaped_rewards,
}
