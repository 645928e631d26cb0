"""Reward-model objectives: losses.pairwise and losses.supervised."""

import jax.numpy as jnp

from rlhf_jax.losses import pairwise, supervised
from rlhf_jax.types import Mean
from tests.golden_adapters.cases import Omitted

HELPFULNESS = 4  # The attribute that NeMo-Aligner compares.


def bradley_terry(inputs, *, use_margin, center_rewards_coefficient):
  chosen, rejected = inputs['chosen'], inputs['rejected']
  margins = inputs['margin'] if use_margin else 0.0
  loss = Mean.of(pairwise.bradley_terry(chosen, rejected, margins)).value
  centering = Mean.of(pairwise.centering(chosen, rejected)).value
  return {
    'pairwise_loss': loss,
    'loss': loss + (center_rewards_coefficient or 0.0) * centering,
    'accuracy': Mean.of(chosen > rejected).value,
  }


def end_score_pairs(inputs, *, pad_id):
  """The loss of the scores that the reference reads, at the first pad.

  Ours reads a response's score at its last real token, in the reward model
  itself, so where it is read is an input here and not compared.
  """
  rewards, padded = inputs['token_rewards'], inputs['input_ids'] == pad_id
  last = rewards.shape[1] - 1
  read = jnp.where(padded.any(-1), jnp.argmax(padded, axis=-1), last)
  scores = jnp.take_along_axis(rewards, read[:, None], axis=1)[:, 0]
  chosen, rejected = jnp.split(scores, 2)
  elsewhere = Omitted('our reward model reads the last real token')
  return {
    'loss': Mean.of(pairwise.bradley_terry(chosen, rejected)).value,
    'chosen_end_scores': elsewhere,
    'rejected_end_scores': elsewhere,
    'end_scores_after_prompt2': elsewhere,
  }


def indexed_pairs(inputs, *, batch, candidates):
  """Pairs picked out of K candidates; the log-odds are two losses' gap."""
  rewards = inputs['rewards_flat'].reshape(batch, candidates)
  first, second = (
    jnp.take_along_axis(rewards, inputs[name], axis=1)
    for name in ('index_0', 'index_1')
  )
  if_first = pairwise.bradley_terry(first, second)
  if_second = pairwise.bradley_terry(second, first)
  losses = jnp.where(inputs['choice'] == 1, if_second, if_first)
  return {'loss': Mean.of(losses).value, 'logits': if_first - if_second}


def interleaved_pairs(inputs):
  chosen, rejected = inputs['rewards'][::2], inputs['rewards'][1::2]
  return {'loss': Mean.of(pairwise.bradley_terry(chosen, rejected)).value}


def logexp(inputs):
  losses = pairwise.bradley_terry(inputs['chosen'], inputs['rejected'])
  return {'loss': Mean.of(losses).value}


def preference_strength(inputs, *, loss_func):
  """One pair; the label's sign says which is chosen, its size how clearly."""
  scores = inputs['outputs'][:, HELPFULNESS]
  label = inputs['labels'][0, 0]
  chosen, rejected = jnp.where(label < 0, scores, scores[::-1])
  return {
    'loss': {
      'regular_bt': lambda: pairwise.bradley_terry(chosen, rejected),
      'margin_bt': lambda: pairwise.bradley_terry(
        chosen, rejected, jnp.abs(label)
      ),
      'scaled_bt': lambda: pairwise.scaled_bradley_terry(
        chosen, rejected, jnp.abs(label)
      ),
    }[loss_func]()
  }


def masked_regression(inputs, *, loss_mask_val):
  labels = inputs['labels']
  mask = labels != loss_mask_val
  errors = supervised.masked_squared_error(inputs['outputs'], labels, mask)
  return {'loss': Mean.of(errors, mask).value}


ADAPTERS = {
  'rm.bradley_terry': bradley_terry,
  'rm.end_score_pairs': end_score_pairs,
  'rm.indexed_pairs': indexed_pairs,
  'rm.interleaved_pairs': interleaved_pairs,
  'rm.logexp': logexp,
  'rm.preference_strength': preference_strength,
  'rm.regression': masked_regression,
}
