"""Advantages, returns and whitening: kernels.advantages, kernels.masking."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_jax.kernels import advantages, masking
from tests.golden_adapters.cases import Omitted, Where

# What ours leaves at 0, references compute and then do not use.
OURS_ZERO = 'masked positions are 0 in ours'


def batched_gae(inputs, mask, *, gamma, lam):
  estimate = functools.partial(advantages.gae, discount=gamma, gae_lambda=lam)
  return jax.vmap(estimate)(inputs['rewards'], inputs['values'], mask)


def masked(inputs, *, gamma, lam):
  gains, returns = batched_gae(
    inputs, inputs['mask'].astype(bool), gamma=gamma, lam=lam
  )
  return {'advantages': gains, 'returns': returns}


def skip_masked(inputs, *, gamma, lam):
  """Gaps in the mask are skipped: ours, on the kept tokens moved together."""
  mask = inputs['mask'].astype(bool)
  order = jnp.argsort(~mask, axis=-1, stable=True)
  back = jnp.argsort(order, axis=-1)

  def move(x, places):
    return jnp.take_along_axis(x, places, axis=-1)

  packed = {name: move(inputs[name], order) for name in ('rewards', 'values')}
  gains, returns = (
    move(x, back)
    for x in batched_gae(packed, move(mask, order), gamma=gamma, lam=lam)
  )
  return {
    'advantages': Where(gains, mask, OURS_ZERO),
    'returns': Where(returns, mask, OURS_ZERO),
    'advantages_whitened': Where(
      masking.whiten(gains, mask, ddof=1), mask, OURS_ZERO
    ),
  }


def discounted_returns(inputs, *, gamma):
  estimate = functools.partial(advantages.discounted_returns, discount=gamma)
  mask = inputs['mask'].astype(bool)
  return {'returns': jax.vmap(estimate)(inputs['rewards'], mask)}


def by_episode(function, rewards, values, discounts):
  """A function of one response, called for each episode of a sequence.

  Episodes end where the discount is 0; the last one does not end, so γ times
  the value that follows it goes in its last reward.
  """
  ends = np.flatnonzero(discounts == 0.0) + 1
  bounds = sorted({0, *ends.tolist(), len(discounts)})
  credited = rewards.at[-1].add(discounts[-1] * values[-1])
  parts = []
  for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
    part, mask = slice(begin, end), jnp.ones(end - begin, bool)
    parts.append(
      function(credited[part], values[part], mask, discount=discounts[begin])
    )
  return jnp.concatenate(parts, axis=-1)


def returns_alone(rewards, values, mask, *, discount):
  del values  # Of the episode's own tokens: returns do not need them.
  return advantages.discounted_returns(rewards, mask, discount=discount)


def bootstrap(inputs):
  """Ours, episode by episode. A λ of each step's own has no counterpart.

  Ours are targets without a gradient. They are linear in rewards and values,
  so the recorded gradient is the loss of each unit vector.
  """
  rewards, values = inputs['r_t'], inputs['values']
  discounts, lambdas = (
    np.asarray(inputs[name]) for name in ('discount_t', 'lambda_t')
  )
  outputs = {
    'discounted_returns': by_episode(returns_alone, rewards, values, discounts),
  }
  if np.unique(lambdas).size > 1:
    missing = Omitted('a λ of each step is not in ours')
    names = ('advantages', 'lambda_returns', 'loss', 'grad_r_t', 'grad_values')
    return outputs | dict.fromkeys(names, missing)

  def both(rewards, values):
    estimate = functools.partial(advantages.gae, gae_lambda=lambdas[0])
    return by_episode(
      lambda *arrays, **options: jnp.stack(estimate(*arrays, **options)),
      rewards,
      values,
      discounts,
    )

  def loss(rewards, values):
    return jnp.sum(inputs['weight'] * both(rewards, values)[0])

  gains, lambda_returns = both(rewards, values)
  unit_rewards, unit_values = jnp.eye(len(rewards)), jnp.eye(len(values))
  return outputs | {
    'advantages': gains,
    'lambda_returns': lambda_returns,
    'loss': loss(rewards, values),
    'grad_r_t': jax.vmap(loss, (0, None))(unit_rewards, 0.0 * values),
    'grad_values': jax.vmap(loss, (None, 0))(0.0 * rewards, unit_values),
  }


def whiten(inputs):
  x, mask = inputs['x'], inputs['mask'].astype(bool)
  everywhere = jnp.ones(mask.shape, bool)
  keep_mean = functools.partial(masking.whiten, shift_mean=False)
  return {
    'trl': Where(masking.whiten(x, mask, ddof=1), mask, OURS_ZERO),
    'trl_no_shift': Where(keep_mean(x, mask, ddof=1), mask, OURS_ZERO),
    'nemo_global': Where(masking.whiten(x, mask), mask, OURS_ZERO),
    'openrlhf_rowwise': masking.whiten(x, mask, axis=-1),
    'alpaca_unmasked': masking.whiten(x, everywhere),
    'alpaca_unmasked_no_shift': keep_mean(x, everywhere),
  }


ADAPTERS = {
  'gae.bootstrap': bootstrap,
  'gae.discounted_returns': discounted_returns,
  'gae.masked': masked,
  'gae.skip_masked': skip_masked,
  'gae.whiten': whiten,
}
