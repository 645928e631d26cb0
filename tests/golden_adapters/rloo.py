"""RLOO: kernels.baselines, and losses.policy_gradient of whole responses."""

import jax.numpy as jnp
import numpy as np

from rlhf_jax.kernels import baselines, divergences, masking
from rlhf_jax.losses import policy_gradient
from tests.golden_adapters import seqlp
from tests.golden_adapters.cases import Where


def nemo_baseline(inputs):
  """Groups are the equal rows of prompts, in any order."""
  scores, kept = inputs['rewards'], inputs['mask'].astype(bool)
  _, group = np.unique(
    np.asarray(inputs['prompts']), axis=0, return_inverse=True
  )
  members = group[None] == np.arange(group.max() + 1)[:, None]
  # A row per group, with the samples of all others masked.
  rows, counted = jnp.broadcast_to(scores, members.shape), members & kept[None]
  gains = baselines.leave_one_out(rows, counted)
  alone = jnp.sum(counted, axis=-1)[group] <= 1
  return {
    'baseline': Where(
      scores - jnp.sum(gains, axis=0),
      kept | alone,
      'a masked sample has no advantage in ours, hence no baseline; in theirs '
      'it has n others but a divisor of n − 1',
    )
  }


def nemo_reinforce_loss(inputs):
  """Nothing is learnt unless some response ended; then from all of them."""
  new = seqlp.next_token_logps(inputs['logits'], inputs['tokens'])
  mask = inputs['mask'].astype(bool)
  ended = mask & inputs['is_end'].astype(bool)[:, None]
  gains = jnp.broadcast_to(
    inputs['rewards_with_kl'] - inputs['baseline'], new.shape
  )
  losses = policy_gradient.policy_gradient(new, gains)
  return {'loss': masking.token_mean(losses, mask & jnp.any(ended)).value}


def trl_advantages(
  inputs, *, num_generations, normalize_advantages, beta, reward_clip_range
):
  scores = inputs['rewards_per_func']
  mask = ~jnp.isnan(scores).all(-1)
  scores = masking.masked_sum(scores, ~jnp.isnan(scores), -1)
  if reward_clip_range:
    scores = jnp.clip(scores, *reward_clip_range)
  kl = divergences.k1(
    inputs['old_per_token_logps'], inputs['ref_per_token_logps']
  )
  scores -= beta * masking.masked_sum(kl, inputs['mask'].astype(bool), -1)
  groups = mask.reshape(-1, num_generations)
  gains = baselines.leave_one_out(scores.reshape(groups.shape), groups)
  if normalize_advantages:
    gains = baselines.batch_standardised(gains, baselines.comparable(groups))
  return {'advantages': gains.reshape(-1), 'rewards': scores}


def trl_loss(inputs, *, epsilon_low, epsilon_high):
  """The old log-prob of a response, known as a sum, stands at its first token.

  Theirs counts a response without tokens; in ours it has one, of log-prob 0.
  """
  mask = inputs['mask'].astype(bool)
  first = jnp.arange(mask.shape[1])[None] == jnp.argmax(mask, axis=-1)[:, None]
  new = jnp.where(mask, inputs['per_token_logps'], 0.0)
  mask |= first
  losses = policy_gradient.clipped_response_surrogate(
    new,
    jnp.where(first, inputs['old_logps'][:, None], 0.0),
    jnp.broadcast_to(inputs['advantages'][:, None], new.shape),
    mask,
    clip_epsilon=epsilon_low,
    clip_epsilon_high=epsilon_high,
  )
  return {
    'loss': masking.sequence_mean(losses, mask).value,
    'losses': losses[:, 0],
  }


ADAPTERS = {
  'rloo.nemo_baseline': nemo_baseline,
  'rloo.nemo_reinforce_loss': nemo_reinforce_loss,
  'rloo.trl_advantages': trl_advantages,
  'rloo.trl_loss': trl_loss,
}
