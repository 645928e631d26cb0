"""DPO and the other pairwise objectives on log-ratios to a reference."""

import functools

import jax.numpy as jnp

from rlhf_jax.kernels import (
  distributions,
  length_bias,
  masking,
  pair_weights,
)
from rlhf_jax.learners import pairwise as learner
from rlhf_jax.losses import objective, pairwise, supervised
from rlhf_jax.losses.pairwise import (
  anchored,
  f_divergences,
  per_token,
  soft_labels,
  transport,
)
from rlhf_jax.training import state as training
from rlhf_jax.types import Comparisons, Mean, Models
from tests.golden_adapters import seqlp

LOGPS = (
  'policy_chosen_logps',
  'policy_rejected_logps',
  'reference_chosen_logps',
  'reference_rejected_logps',
)


# Objectives of TRL that no f-divergence changes.
READ_LOG_RATIOS = ('aot', 'aot_unpaired', 'apo_zero')


def trl_objective(loss_type, *, beta, label_smoothing, discopop_tau=0.05):
  """Ours by TRL's name. TRL smooths the labels of four of them only."""
  smoothing = {'label_smoothing': label_smoothing}
  function, options = {
    'aot': (transport.aot, smoothing),
    'aot_unpaired': (transport.aot_unpaired, smoothing),
    'apo_down': (anchored.apo_down, {}),
    'apo_zero': (anchored.apo_zero, {}),
    'bco_pair': (anchored.bco_pair, {}),
    'discopop': (pairwise.discopop, {'tau': discopop_tau}),
    'exo_pair': (soft_labels.exo_pair, smoothing),
    'hinge': (pairwise.hinge_norm, {}),
    'ipo': (per_token.ipo_mean, {}),
    'nca_pair': (anchored.nca_pair, {}),
    'robust': (pairwise.robust_dpo, {'flip_rate': label_smoothing}),
    'sigmoid': (pairwise.dpo, {}),
    'sigmoid_norm': (per_token.dpo_mean, {}),
    'sppo_hard': (anchored.sppo_hard, {}),
  }[loss_type]
  return functools.partial(function, beta=beta, **options)


def as_floats(inputs):
  """Lengths, too, are floats to an objective."""
  return {name: jnp.asarray(x, jnp.float32) for name, x in inputs.items()}


def log_ratios(given):
  """u and v, by the names of an objective."""
  chosen, rejected, *reference = (given[name] for name in LOGPS)
  return {
    'chosen_log_ratios': chosen - reference[0],
    'rejected_log_ratios': rejected - reference[1],
  }


def evaluated(function, given, **options):
  """Losses of an objective, from the four log-probs and what else it reads."""
  bound = functools.partial(function, **options)
  return objective.evaluate(bound, given | log_ratios(given))


def rewards(inputs, beta):
  """The implicit rewards β u and β v, of the reference that was given."""
  chosen, rejected = log_ratios(inputs).values()
  return {'chosen_rewards': beta * chosen, 'rejected_rewards': beta * rejected}


def without_reference(inputs):
  zeros = jnp.zeros_like(inputs['policy_chosen_logps'])
  return inputs | dict.fromkeys(LOGPS[2:], zeros)


def trl(inputs, *, loss_type, beta, label_smoothing, discopop_tau):
  function = trl_objective(
    loss_type,
    beta=beta,
    label_smoothing=label_smoothing,
    discopop_tau=discopop_tau,
  )
  losses = evaluated(function, as_floats(inputs))
  return {'losses': losses, 'loss': Mean.of(losses).value} | rewards(
    inputs, beta
  )


def preference(inputs, *, beta, label_smoothing, ipo, reference_free):
  given = without_reference(inputs) if reference_free else inputs
  smoothed = functools.partial(pairwise.dpo, label_smoothing=label_smoothing)
  function = pairwise.ipo_sum if ipo else smoothed
  losses = evaluated(function, given, beta=beta)
  return {'losses': losses, 'loss': Mean.of(losses).value} | rewards(
    inputs, beta
  )


def fdivergence(
  inputs, *, loss_type, beta, f_divergence_type, f_alpha_divergence_coef
):
  """TRL's coefficient is 1 − α, and its α-score lacks our constant 1 / α.

  At its coefficient 1 both are the log-ratio. Objectives other than the
  logistic one read the scores in the place of log-ratios to the reference.
  """
  alpha = 1.0 - f_alpha_divergence_coef
  if abs(alpha) < 1e-6:  # Its own bound, below which it takes the limit.
    alpha = 0.0
  function, score, constant = {
    'alpha_divergence': (
      functools.partial(f_divergences.dpo_alpha, alpha=alpha),
      functools.partial(f_divergences.alpha_rewards, alpha=alpha),
      1.0 / alpha if alpha else 0.0,
    ),
    'forward_kl': (
      f_divergences.dpo_forward_kl,
      f_divergences.forward_kl_rewards,
      0.0,
    ),
    'js_divergence': (
      f_divergences.dpo_jensen_shannon,
      f_divergences.jensen_shannon_rewards,
      0.0,
    ),
    'reverse_kl': (pairwise.dpo, lambda log_ratio: log_ratio, 0.0),
  }[f_divergence_type]
  chosen, rejected = log_ratios(inputs).values()
  scores = score(chosen) - constant, score(rejected) - constant
  given = as_floats(inputs)
  if loss_type != 'sigmoid':
    function = trl_objective(loss_type, beta=beta, label_smoothing=0.0)
    if loss_type not in READ_LOG_RATIOS:
      given = without_reference(given)
      given |= dict(zip(LOGPS[:2], scores, strict=True))
  losses = evaluated(function, given, beta=beta)
  return {
    'losses': losses,
    'loss': Mean.of(losses).value,
    'chosen_scores': scores[0],
    'rejected_scores': scores[1],
  }


def lmflow(inputs, *, loss_type, beta, len_penalty, reference_free):
  """LMFlow holds p at 0.999, which no case here reaches.

  Its length penalty shifts the reference's log-ratio, and its kl has 1e-3 too
  much under the target's fraction: a margin that is smaller by log 1.001.
  """
  given = without_reference(inputs) if reference_free else dict(inputs)
  if not reference_free and loss_type not in ('cross_entropy', 'raft'):
    given['reference_chosen_logps'] += len_penalty
  margin = inputs['margin'] - (jnp.log1p(1e-3) if loss_type == 'kl' else 0.0)
  given |= {'chosen_scores': margin, 'rejected_scores': jnp.zeros_like(margin)}
  if loss_type == 'raft':
    losses = supervised.negative_log_likelihood(given['policy_chosen_logps'])
  else:
    function = {
      'cross_entropy': anchored.chosen_only,
      'hellinger': soft_labels.rpo_hellinger,
      'hinge': pairwise.hinge_norm,
      'ipo': pairwise.ipo_sum,
      'kl': soft_labels.rpo_forward_kl,
      'rev_kl': soft_labels.dpo_soft_labels,
      'sigmoid': pairwise.dpo,
      'tv': soft_labels.rpo_total_variation,
    }[loss_type]
    losses = evaluated(function, given, beta=beta)
  return {'losses': losses, 'loss': Mean.of(losses).value} | rewards(
    inputs, beta
  )


def nemo(inputs, *, loss_type, beta, average_log_probs, gt_reward_scale):
  """Averages go in as if they were sums: the objective does not mind."""
  reduce = masking.masked_mean if average_log_probs else masking.masked_sum
  kept = inputs['labels'] > -1
  policy = reduce(inputs['policy_token_logps'], kept, -1)
  reference = reduce(inputs['reference_token_logps'], kept, -1)
  given = halves(policy, reference)
  chosen_scores, rejected_scores = jnp.split(inputs['gt_rewards'], 2)
  given |= {'chosen_scores': chosen_scores, 'rejected_scores': rejected_scores}
  scaled = {'reward_scale': gt_reward_scale}
  function, options = {
    'dpo': (pairwise.dpo, {}),
    'ipo': (pairwise.ipo_sum, {}),
    'rpo_bwd_kl': (soft_labels.rpo_backward_kl, scaled),
    'rpo_fwd_kl': (soft_labels.rpo_forward_kl, scaled),
    'rpo_sq': (soft_labels.rpo_sq, scaled),
  }[loss_type]
  losses = evaluated(function, given, beta=beta, **options)
  chosen, rejected = log_ratios(given).values()
  imitation = supervised.negative_log_likelihood(given['policy_chosen_logps'])
  return {
    'loss': Mean.of(losses).value,
    'accuracy': Mean.of(chosen > rejected).value,
    'sft_loss': Mean.of(imitation).value,
  }


def halves(policy, reference):
  """Log-probs by the names of an objective; rows are chosen, then rejected."""
  split = (*jnp.split(policy, 2), *jnp.split(reference, 2))
  return dict(zip(LOGPS, split, strict=True))


def alpaca_farm(inputs, *, beta):
  given = {}
  for side, name in (('w', 'chosen'), ('l', 'rejected')):
    labels = inputs[f'labels_{side}']
    for who, prefix in (('policy', ''), ('reference', 'ref_')):
      rows = {'logits': inputs[f'{prefix}logits_{side}'], 'labels': labels}
      sums = seqlp.batch_logps(rows, average_log_prob=False)
      given[f'{who}_{name}_logps'] = sums['logps']
  chosen, rejected = log_ratios(given).values()
  return {
    'loss': Mean.of(evaluated(pairwise.dpo, given, beta=beta)).value,
    'logits': beta * (chosen - rejected),
  }


def trl_logits(
  inputs,
  *,
  loss_types,
  loss_weights,
  beta,
  label_smoothing,
  ld_alpha,
  use_weighting,
):
  """From logits on, by the learner; several objectives add up, as in MPO."""
  given = {
    name: in_pairs(inputs[name])
    for name in ('input_ids', 'completion_mask', 'logits', 'ref_logits')
  }
  mask = given['completion_mask'].astype(bool)
  batch = Comparisons(
    tokens=given['input_ids'],
    attention_mask=jnp.ones(mask.shape, bool),
    response_mask=mask,
    candidate_mask=jnp.ones(mask.shape[:2], bool),
    margins=jnp.zeros(len(mask)),
    weight=jnp.ones(len(mask)),
  )
  params = {'policy': in_rows(given['logits'])}
  frozen = {'reference': in_rows(given['ref_logits'])}
  models = Models(policy=seqlp.GIVEN)
  options = {}
  if ld_alpha is not None:
    options['response_logps'] = functools.partial(
      length_bias.discounted_tail_logps, ld_alpha=ld_alpha
    )
  if use_weighting:
    options['pair_weights'] = pair_weights.on_policy

  loss = 0.0
  for loss_type, loss_weight in zip(loss_types, loss_weights, strict=True):
    if loss_type == 'sft':
      scored = seqlp.next_token_logps(given['logits'][:, 0], batch.tokens[:, 0])
      imitation = supervised.negative_log_likelihood(scored)
      average = masking.token_mean(imitation, mask[:, 0, 1:]).value
      loss += loss_weight * average
      losses = jnp.broadcast_to(average, len(mask))
      continue
    function = trl_objective(
      loss_type, beta=beta, label_smoothing=label_smoothing
    )
    config = learner.Config(objective=function, **options)
    named = {'models': models, 'config': config}
    terms, _ = learner.loss(params, frozen, batch, None, **named)
    loss += loss_weight * training.objective(terms)
    arrays = learner.arrays_for(params, frozen, batch, LOGPS, **named)
    losses = objective.evaluate(function, arrays)
    if use_weighting:
      losses *= learner.weights_of_pairs(params, batch, **named)
  return {
    'loss': loss,
    'losses_last': losses,
    'chosen_logps': arrays['policy_chosen_logps'],
    'rejected_logps': arrays['policy_rejected_logps'],
    'ref_chosen_logps': arrays['reference_chosen_logps'],
    'ref_rejected_logps': arrays['reference_rejected_logps'],
    'mean_token_entropy': masking.masked_mean(
      distributions.entropies(given['logits'][..., :-1, :]), mask[..., 1:]
    ),
  }


def in_pairs(rows):
  """[2 B, …], the chosen ones first, as [B, 2, …]."""
  return jnp.stack(jnp.split(rows, 2), axis=1)


def in_rows(pairs):
  """[B, 2, …] as the [2 B, …] that a learner reads."""
  return pairs.reshape(-1, *pairs.shape[2:])


ADAPTERS = {
  'dpo.alpaca_farm': alpaca_farm,
  'dpo.fdivergence': fdivergence,
  'dpo.lmflow': lmflow,
  'dpo.nemo': nemo,
  'dpo.preference': preference,
  'dpo.trl': trl,
  'dpo.trl_logits': trl_logits,
}
