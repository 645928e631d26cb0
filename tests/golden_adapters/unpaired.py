"""KTO and BCO: losses.unpaired, their baselines by types.Mean."""

import jax.numpy as jnp
import numpy as np

from rlhf_jax.kernels import masking
from rlhf_jax.losses import unpaired
from rlhf_jax.types import Mean


def baseline(policy_logps, reference_logps):
  """The KL of mismatched responses, at least 0."""
  return jnp.maximum(Mean.of(policy_logps - reference_logps).value, 0.0)


def trl(inputs, *, loss_type, beta, desirable_weight, undesirable_weight):
  """Losses and rewards of the reference: desirable ones first."""
  policy, reference = inputs['policy_logps'], inputs['reference_logps']
  desirable = inputs['label'].astype(bool)
  if loss_type == 'kto':
    kl = baseline(inputs['policy_kl_logps'], inputs['reference_kl_logps'])
    losses = unpaired.kto(
      policy,
      reference,
      desirable,
      kl,
      beta=beta,
      desirable_weight=desirable_weight,
      undesirable_weight=undesirable_weight,
    )
  else:
    assert loss_type == 'apo_zero_unpaired'
    kl = jnp.zeros(())
    losses = unpaired.apo_zero_unpaired(
      policy,
      reference,
      desirable,
      beta=beta,
      desirable_weight=desirable_weight,
      undesirable_weight=undesirable_weight,
    )
  wanted = np.asarray(inputs['label']).astype(bool)
  first, last = np.flatnonzero(wanted), np.flatnonzero(~wanted)
  rewards = beta * (policy - reference)
  return {
    'losses': losses[np.concatenate([first, last])],
    'loss': Mean.of(losses).value,
    'kl': kl,
    'chosen_rewards': rewards[first],
    'rejected_rewards': rewards[last],
  }


def nemo(
  inputs, *, beta, desirable_weight, undesirable_weight, average_log_probs
):
  """The second half of the rows is mismatched, and gives the KL alone."""
  reduce = masking.masked_mean if average_log_probs else masking.masked_sum
  kept = inputs['labels'] > -1
  policy, mismatched = jnp.split(
    reduce(inputs['policy_token_logps'], kept, -1), 2
  )
  reference, reference_mismatched = jnp.split(
    reduce(inputs['reference_token_logps'], kept, -1), 2
  )
  kl = baseline(mismatched, reference_mismatched)
  losses = unpaired.kto(
    policy,
    reference,
    inputs['preferences'].astype(bool),
    kl,
    beta=beta,
    desirable_weight=desirable_weight,
    undesirable_weight=undesirable_weight,
  )
  return {'loss': Mean.of(losses).value, 'kl': kl}


def running(inputs, *, beta):
  """Batches one after the other; δ counts a batch before its loss does."""
  names = ('policy_chosen', 'policy_rejected')
  policy = jnp.concatenate([inputs[f'{n}_logps'] for n in names], axis=-1)
  names = ('reference_chosen', 'reference_rejected')
  reference = jnp.concatenate([inputs[f'{n}_logps'] for n in names], axis=-1)
  half = policy.shape[-1] // 2
  desirable = jnp.arange(2 * half) < half
  seen, deltas, losses = Mean(0.0, 0.0), [], []
  for row in range(len(policy)):
    seen += Mean.of(policy[row] - reference[row])
    deltas.append(seen.value)
    losses.append(
      unpaired.bco(
        policy[row], reference[row], desirable, seen.value, beta=beta
      )
    )
  losses = jnp.stack(losses)
  return {
    'losses': losses,
    'delta': beta * jnp.stack(deltas),
    'loss': jnp.sum(jnp.mean(losses, axis=-1)),
  }


ADAPTERS = {
  'bco.running': running,
  'kto.nemo': nemo,
  'kto.trl': trl,
}
