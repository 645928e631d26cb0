"""CPO, SimPO, AlphaPO and ORPO: losses.reference_free."""

import jax.numpy as jnp

from rlhf_jax.kernels import divergences, length_bias, masking
from rlhf_jax.losses import supervised
from rlhf_jax.losses.pairwise import per_token, reference_free
from rlhf_jax.types import Mean
from tests.golden_adapters import seqlp


def preference_losses(
  chosen,
  rejected,
  chosen_lengths,
  rejected_lengths,
  *,
  loss_type,
  beta,
  simpo_gamma,
  label_smoothing=0.0,
  alpha=0.0,
):
  """The ranking term of TRL's CPO trainer by its name, from sums and lengths.

  Its likelihood term is another reduction's, so it is left out here.
  """
  lengths = chosen_lengths, rejected_lengths
  smoothed = {'beta': beta, 'label_smoothing': label_smoothing}
  if loss_type == 'simpo':
    return reference_free.alphapo(
      chosen, rejected, *lengths, gamma=simpo_gamma, alpha=alpha, **smoothed
    )
  # The reference bends the rewards of the others, too.
  chosen, rejected = (
    divergences.power_transform(x, alpha) for x in (chosen, rejected)
  )
  if loss_type == 'ipo':
    return per_token.ipo_mean(chosen, rejected, *lengths, beta=beta)
  if loss_type == 'hinge':
    return reference_free.hinge(chosen, rejected, beta=beta)
  assert loss_type == 'sigmoid'
  return reference_free.cpo(chosen, rejected, likelihood_coef=0.0, **smoothed)


def cpo(inputs, *, beta, alpha, **options):
  """Log-probs are given as the loss takes them: lengths are 1."""
  chosen, rejected = (
    inputs['policy_chosen_logps'],
    inputs['policy_rejected_logps'],
  )
  one = jnp.ones_like(chosen)
  losses = preference_losses(
    chosen, rejected, one, one, beta=beta, alpha=alpha, **options
  )

  return {
    'losses': losses,
    'loss': Mean.of(losses).value,
    'chosen_rewards': beta * divergences.power_transform(chosen, alpha),
    'rejected_rewards': beta * divergences.power_transform(rejected, alpha),
  }


def response_sums(inputs):
  """Log-probs of tokens, which of them are responses', sums and lengths."""
  labels, kept = seqlp.split_labels(inputs['labels'])
  scored = seqlp.next_token_logps(inputs['logits'], labels)
  mask = kept[:, 1:]
  sums = masking.masked_sum(scored, mask, -1)
  return scored, mask, sums, jnp.sum(mask, axis=-1, dtype=jnp.float32)


def first_half_nll(scored, mask):
  """Token mean over the chosen rows."""
  scored, mask = jnp.split(scored, 2)[0], jnp.split(mask, 2)[0]
  losses = supervised.negative_log_likelihood(scored)
  return masking.token_mean(losses, mask).value


def cpo_total(inputs, *, cpo_alpha, **options):
  """The reference does not compute a likelihood that has no weight."""
  scored, mask, sums, lengths = response_sums(inputs)
  losses = preference_losses(
    *jnp.split(sums, 2), *jnp.split(lengths, 2), **options
  )
  nll = first_half_nll(scored, mask) if cpo_alpha else jnp.zeros(())
  return {'loss': Mean.of(losses).value + cpo_alpha * nll, 'nll_loss': nll}


def odds_ratio(inputs, *, beta):
  """Log-probs are averages: lengths are 1. The reference keeps log σ's sign.

  The log-odds ratio is the gap between the losses of both orders.
  """
  chosen, rejected = (
    inputs['policy_chosen_logps'],
    inputs['policy_rejected_logps'],
  )
  one = jnp.ones_like(chosen)
  losses = reference_free.odds_ratio(chosen, rejected, one, one)
  swapped = reference_free.odds_ratio(rejected, chosen, one, one)
  return {
    'weighted_log_sigmoid': -beta * losses,
    'chosen_rewards': beta * chosen,
    'rejected_rewards': beta * rejected,
    'mean_log_sigmoid': -Mean.of(losses).value,
    'mean_log_odds': Mean.of(swapped - losses).value,
    'loss': beta * Mean.of(losses).value,
  }


def orpo_total(inputs, *, beta):
  """The reference's likelihood term is the prompt's, too; ours is added up."""
  _, _, sums, lengths = response_sums(inputs)
  losses = reference_free.odds_ratio(
    *jnp.split(sums, 2), *jnp.split(lengths, 2)
  )
  chosen, rejected = jnp.split(length_bias.mean_logps(sums, lengths), 2)
  attended = inputs['attention_mask'].astype(bool)[:, 1:]
  everything = seqlp.next_token_logps(inputs['logits'], inputs['input_ids'])
  nll = first_half_nll(everything, attended)
  return {
    'loss': nll + beta * Mean.of(losses).value,
    'nll_loss': nll,
    'log_odds_ratio': -Mean.of(losses).value,
    'mean_chosen_logps': jnp.mean(chosen),
    'mean_rejected_logps': jnp.mean(rejected),
  }


ADAPTERS = {
  'cpo.loss': cpo,
  'cpo.total': cpo_total,
  'orpo.odds_ratio': odds_ratio,
  'orpo.total': orpo_total,
}
