"""Learning from rewarded samples of the policy, with or without a critic."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from rlhf_jax.kernels import divergences, importance, logps, masking
from rlhf_jax.losses import value
from rlhf_jax.training import state as training
from rlhf_jax.types import Experience, Mean, Rollouts, flatten_candidates


class Evaluation(NamedTuple):
  """What the trainer's own pass says of rollouts: [N, R] each."""

  logps: chex.Array
  entropies: chex.Array
  values: chex.Array


# (models, params, hidden [N, T, D], tokens, attention_mask) -> values [N, T].
Critic = Callable[..., chex.Array]


def separate_critic(models, params, hidden, tokens, attention_mask):
  """Values by a network of its own, `params['critic']`."""
  del hidden
  return models.critic.values(params['critic'], tokens, attention_mask)


def shared_trunk(models, params, hidden, tokens, attention_mask):
  """Values by a head, `params['critic']`, on the policy's hidden states."""
  del tokens, attention_mask
  return models.critic.head(params['critic'], hidden)[..., 0]


def no_critic(models, params, hidden, tokens, attention_mask):
  """Values of 0, for methods whose baseline is not learnt."""
  del models, params, attention_mask, hidden
  return jnp.zeros(tokens.shape, jnp.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """The update from a batch of experience.

  Attributes:
    objective: (logps, old_logps, advantages) [..., R] -> losses [..., R].
    value_objective: (values, old_values, returns) [..., R] -> losses [..., R].
    critic: where values come from: `separate_critic`, `shared_trunk`,
      `no_critic`.
    reduction: (losses [N, R], mask [N, R]) -> Mean.
    value_coef: weight of the value loss.
    entropy_coef: weight of the entropy, in nats per token, that is kept up.
    temperature: at which the policy samples, and so is scored.
    epochs: passes over each batch.
    minibatches: optimizer steps in a pass.
    micro_batches: parts that a minibatch is cut into, to save memory.
    kl_control: (kl_coef, KL in nats per response, steps=responses) -> the next
      kl_coef, as kernels.rewards.adaptive_kl_coef with its target and horizon
      bound; None keeps it fixed.
  """

  objective: Callable[..., chex.Array]
  value_objective: Callable[..., chex.Array] = functools.partial(
    value.clipped_squared_error, clip_epsilon=0.2
  )
  critic: Critic = no_critic
  reduction: Callable[..., Mean] = masking.token_mean
  value_coef: float = 0.0
  entropy_coef: float = 0.0
  temperature: float = 1.0
  epochs: int = 1
  minibatches: int = 1
  micro_batches: int = 1
  kl_control: Callable[..., chex.Array] | None = None


def init(key, start, *, models, config):
  """{'policy', 'critic'}: from `start` where it names them, else fresh."""
  policy_key, critic_key = jax.random.split(key)
  policy = start.get('policy')
  params = {
    'policy': models.policy.init(policy_key) if policy is None else policy
  }
  if config.critic is no_critic:
    return params
  critic = start.get('critic')
  if critic is None:
    critic = models.critic.init(critic_key)
  if config.critic is shared_trunk:
    critic = {'head': critic['head']}
  return params | {'critic': critic}


def evaluate(params, rollouts: Rollouts, *, models, config) -> Evaluation:
  """Log-probs, entropies and values of flat rollouts [N, T], by one pass."""
  start = rollouts.tokens.shape[-1] - rollouts.response_length
  tokens, mask = rollouts.tokens, rollouts.attention_mask
  hidden = models.policy.hidden(params['policy'], tokens, mask)
  token_logps, entropies = models.policy.token_logps_and_entropies(
    params['policy'],
    logps.before_tokens(hidden, start=start),
    tokens[:, start:],
    config.temperature,
  )
  values = config.critic(models, params, hidden, tokens, mask)
  values = logps.before_tokens(values, start=start)
  return Evaluation(token_logps, entropies, values)


def loss(params, frozen, batch: Experience, key, *, models, config):
  """Terms and metrics of Experience [N, T]. Differentiate in `params`."""
  del frozen, key  # What the reference says is in the batch already.
  rollouts = batch.rollouts
  _, mask = rollouts.responses
  new = evaluate(params, rollouts, models=models, config=config)
  policy_losses = config.objective(new.logps, batch.logps, batch.advantages)
  terms = {
    'policy': (1.0, config.reduction(policy_losses, mask)),
    'entropy': (-config.entropy_coef, config.reduction(new.entropies, mask)),
  }
  if config.critic is not no_critic:
    value_losses = config.value_objective(
      new.values, batch.values, batch.returns
    )
    terms['value'] = (config.value_coef, config.reduction(value_losses, mask))
  ratios = importance.ratios(new.logps, batch.logps)
  metrics = {
    'ratio': Mean.of(ratios, mask),
    'clip_fraction': Mean.of(_clipped(new.logps, batch, config), mask),
    'entropy': Mean.of(new.entropies, mask),
    'update_kl': Mean.of(divergences.k3(batch.logps, new.logps), mask),
  }
  return terms, metrics


def _clipped(new_logps, batch, config):
  # Where clipping takes the gradient, whatever the objective clips.
  slopes = jax.grad(
    lambda x: jnp.sum(config.objective(x, batch.logps, batch.advantages))
  )(new_logps)
  return (slopes == 0.0) & (batch.advantages != 0.0)


def update(state, frozen, batch: Experience, key, *, models, optimizer, config):
  """`epochs` passes of `minibatches` steps over [B, K] rollouts.

  Returns (state, metrics); state.step counts updates, not optimizer steps.

  Raises:
    ValueError: the responses do not divide into the minibatches.
  """
  # Every response is shuffled by itself.
  rest = flatten_candidates(batch.replace(rollouts=None))
  flat = rest.replace(rollouts=flatten_rollouts(batch.rollouts))
  count = flat.logps.shape[0]
  if count % config.minibatches:
    raise ValueError(
      f'{count} responses do not divide into {config.minibatches} minibatches'
    )
  slope = training.gradient(loss, micro_batches=config.micro_batches)

  def pass_over(epoch_key):
    order = jax.random.permutation(epoch_key, count)
    return order.reshape(config.minibatches, count // config.minibatches)

  def step(inner, rows):
    part = jax.tree.map(lambda x: x[rows], flat)
    grads, metrics = slope(
      inner.params, frozen, part, key, models=models, config=config
    )
    metrics['gradient_norm'] = Mean.of(optax.tree.norm(grads))
    return training.descend(inner, grads, optimizer), metrics

  orders = jax.vmap(pass_over)(jax.random.split(key, config.epochs))
  moved, metrics = jax.lax.scan(
    step, state, orders.reshape(-1, orders.shape[-1])
  )
  metrics = jax.tree.map(jnp.sum, metrics)
  return moved.replace(
    step=state.step + 1, extra=_adapt(state.extra, flat, config)
  ), metrics


def _adapt(extra, flat, config):
  if config.kl_control is None:
    return extra
  _, mask = flat.rollouts.responses
  kl = response_kl(flat.logps, flat.reference_logps, mask)
  coefficient = config.kl_control(
    extra['kl_coef'], jnp.mean(kl), steps=kl.shape[0]
  )
  return extra | {'kl_coef': coefficient}


def response_kl(policy_logps, reference_logps, mask):
  """[..., R] -> [...]: single-sample KL to the reference, nats per response."""
  return masking.masked_sum(
    divergences.k1(policy_logps, reference_logps), mask, axis=-1
  )


def flatten_rollouts(rollouts: Rollouts) -> Rollouts:
  """[B, K, …] -> [B * K, …]; each sample keeps its prompt's index."""
  samples = rollouts.tokens.shape[1]
  index = jnp.repeat(rollouts.index[:, None], samples, axis=1)
  return flatten_candidates(rollouts.replace(index=index))


def rollout_metrics(rollouts, now, reference_logps, *, scores, returns):
  """What is logged of a batch of flat rollouts [N, T].

  Args:
    rollouts: the samples.
    now: the trainer's Evaluation of them.
    reference_logps: [N, R].
    scores: [N] in reward units, as the reward gave them.
    returns: [N, R] the critic's targets.

  Returns:
    Score, KL (nats per response and per token), response length,
    share ended, share of the returns' variance that the critic explains, and
    the largest gap between the sampler's log-probs and the trainer's.
  """
  _, mask = rollouts.responses
  kl = response_kl(now.logps, reference_logps, mask)
  gap = jnp.abs(jnp.where(mask, rollouts.logps - now.logps, 0.0))
  unexplained = masking.masked_var(returns - now.values, mask)
  variance = masking.masked_var(returns, mask)
  return {
    'score': Mean.of(scores),
    'kl': Mean.of(kl),
    'kl_per_token': Mean(jnp.sum(kl), jnp.sum(mask).astype(jnp.float32)),
    'response_length': Mean.of(jnp.sum(mask, axis=-1)),
    'ended': Mean.of(rollouts.ended),
    'explained_variance': Mean.of(
      1.0 - unexplained / jnp.maximum(variance, 1e-8)
    ),
    'sampler_gap': Mean.of(jnp.max(gap)),
  }
