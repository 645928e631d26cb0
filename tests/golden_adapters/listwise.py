"""RRHF and PRO: losses.listwise, on log-probs that kernels.logps sums up."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from rlhf_jax.kernels import distributions, masking, selection
from rlhf_jax.losses import listwise
from rlhf_jax.types import Mean
from tests.golden_adapters.cases import Where
from tests.golden_adapters.seqlp import next_token_logps, split_labels

PROVIDED = 2  # RRHF's data ends with the two responses of the dataset.
EPSILON = 1e-10  # What PRO adds inside its logarithm.


def all_of(x):
  return jnp.ones(x.shape, bool)


def rank_loss(inputs):
  """Scores as they are: log-probs of one token each."""
  scores = inputs['scores']
  ones = jnp.ones_like(scores)
  return {
    'loss': listwise.rrhf_ranking(
      scores, ones, inputs['rewards'], all_of(scores)
    )
  }


def rrhf_total(
  inputs, *, rrhf_weight, length_penalty, only_use_provide, only_use_sample
):
  """One prompt, labels shifted already.

  The reference divides the log-prob that it imitates by the padded width T, so
  its loss is ours over T, for T times its rank coefficient.
  """
  chosen = slice(None)
  if only_use_provide:
    chosen = slice(-PROVIDED, None)
  elif only_use_sample:
    chosen = slice(None, -PROVIDED)
  tokens, kept = split_labels(inputs['labels'][chosen])
  scored = distributions.token_logps(inputs['logits'][chosen], tokens)
  sums, lengths = (masking.masked_sum(x, kept, -1) for x in (scored, kept))
  rewards, width = inputs['rewards'][chosen], kept.shape[-1]
  best_first, _ = selection.top(rewards, all_of(rewards), count=len(rewards))
  order = rewards[best_first]

  def outputs(lengths):
    listed = (sums[best_first], lengths[best_first], order, all_of(order))
    options = {'length_exponent': length_penalty}

    def score(logp, length):  # Excess of a log-prob of 0 over a better one.
      pair = jnp.stack([logp, 0.0]), jnp.stack([length, 1.0])
      order = jnp.array([1.0, 0.0])
      return -listwise.rrhf_ranking(*pair, order, all_of(order), **options)

    return {
      'loss': listwise.rrhf(*listed, rank_coef=rrhf_weight * width, **options)
      / width,
      'scores': jax.vmap(score)(sums, lengths),
      'rank_loss': listwise.rrhf_ranking(*listed, **options),
      'sft_loss': listwise.rrhf(*listed, rank_coef=0.0) / width,
    }

  released = outputs(jnp.full_like(lengths, width))
  return (
    outputs(lengths)
    | {f'{name}_released': value for name, value in released.items()}
    | {'token_logps': jnp.where(kept, scored, 0.0)}
  )


def pro_total(inputs, *, sft_weight):
  """The reference's loss is ours but where 1e-10 in its logarithm matters."""

  def loss(logits):
    return _pro(inputs | {'logits': logits}, sft_weight)['loss_logsumexp']

  outputs = _pro(inputs, sft_weight)
  outputs |= {
    'loss': outputs['loss_logsumexp'],
    'rank_losses': outputs['rank_losses_logsumexp'],
    'grad_logits': jax.grad(loss)(inputs['logits']),
  }
  alike = _without_epsilon(jax.tree.map(np.asarray, inputs))
  if alike.all():
    return outputs
  why = '1e-10 in the logarithm of the reference changes it by over 1e-6'
  places = {
    'loss': alike.all(),
    'rank_losses': alike.all(0),
    'grad_logits': alike.all(1)[:, None, None, None],
  }
  for name, compared in places.items():
    ours = outputs[name]
    compared = jnp.broadcast_to(compared, ours.shape)
    outputs[name] = Where(ours, compared, why)
  return outputs


def _pro(inputs, sft_weight):
  scores = inputs['rewards']
  sums, lengths = _pro_logps(inputs)
  candidates = scores.shape[1]

  def ranking(first):  # Without the candidates before it.
    mask = jnp.broadcast_to(jnp.arange(candidates) >= first, scores.shape)
    return listwise.pro_ranking(sums, lengths, scores, mask)

  stages = [
    Mean.of(ranking(k) - ranking(k + 1)).value for k in range(candidates - 1)
  ]
  # The one that is imitated goes first; scores of 0 leave the ranking constant.
  rows = jnp.arange(len(scores))
  top = inputs['sft_index']
  swapped = sums.at[rows, 0].set(sums[rows, top])
  swapped = swapped.at[rows, top].set(sums[:, 0])
  level = (swapped, lengths, jnp.zeros_like(scores), all_of(scores))
  imitation = Mean.of(
    listwise.pro(*level, sft_coef=sft_weight) - listwise.pro_ranking(*level)
  ).value
  return {
    'rank_losses_logsumexp': jnp.stack(stages),
    'loss_logsumexp': Mean.of(ranking(0)).value + imitation,
    'sft_loss_weighted': imitation,
    'sum_scores': sums,
    'lengths': lengths.astype(int),
    'scores': sums / lengths,
  }


def _pro_logps(inputs):
  """[B, K] log-probs and how many tokens they sum."""
  shape = inputs['labels'].shape
  tokens, logits = (
    inputs[name].reshape(-1, *inputs[name].shape[2:])
    for name in ('labels', 'logits')
  )
  scored = next_token_logps(logits, tokens).reshape(*shape[:2], -1)
  kept = _pro_mask(inputs)
  sums, lengths = (masking.masked_sum(x, kept, -1) for x in (scored, kept))
  return sums, lengths


def _pro_mask(inputs):
  """[B, K, T − 1] of inputs that count, not of the tokens they predict.

  So the reference has it, and the token after a response counts as well.
  """
  kept = (inputs['attention_mask'] == 1) & (inputs['prefix_mask'] == 0)
  return kept[..., :-1]


def _without_epsilon(inputs):
  """[B, K − 1] whether the reference's sums of exponentials dwarf EPSILON."""
  scored = special.log_softmax(inputs['logits'][..., :-1, :], axis=-1)
  labels = inputs['labels'][..., 1:, None]
  scored = np.take_along_axis(scored, labels, axis=-1)[..., 0]
  s = scored.mean(axis=-1, where=_pro_mask(inputs))
  gaps = inputs['rewards'][:, :, None] - inputs['rewards'][:, None, :]
  later = np.triu(np.ones_like(gaps[0], bool), 1)
  gaps = np.where(later, gaps, 0.0)
  total = np.sum(np.exp(gaps * s[:, None, :]), axis=-1, where=later)
  total += np.exp(np.max(gaps, axis=-1) * s)
  return (EPSILON / total < 1e-6)[:, :-1]


ADAPTERS = {
  'pro.total': pro_total,
  'rrhf.rank_loss': rank_loss,
  'rrhf.total': rrhf_total,
}
