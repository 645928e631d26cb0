"""Loss and update from experience, whatever estimated its advantages."""

from collections.abc import Mapping

import chex
import jax
import jax.numpy as jnp
import optax

from rlhf_jax.kernels import divergences, importance
from rlhf_jax.learners.policy_gradient.configs import (
  Config,
  no_critic,
  shared_trunk,
)
from rlhf_jax.learners.policy_gradient.evaluation import (
  TokenOutputs,
  evaluate,
  flatten_rollouts,
)
from rlhf_jax.learners.policy_gradient.round_metrics import (
  policy_metrics,
  response_kl,
)
from rlhf_jax.losses import objective as objectives
from rlhf_jax.training import state as training
from rlhf_jax.types import (
  Experience,
  Mean,
  Metrics,
  Models,
  Params,
  Terms,
  TrainState,
  flatten_candidates,
)


def init(
  key: chex.PRNGKey,
  start: Mapping[str, Params],
  *,
  models: Models,
  config: Config,
) -> Params:
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


def loss(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Experience,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Terms, Metrics]:
  """Terms and metrics of Experience [N, T]. Differentiate in `params`.

  Where the batch has no log-probs from before the update, they are those of
  this pass, and every ratio is 1.
  """
  del frozen, key  # The reference's log-probs are in the batch already.
  _, mask = batch.rollouts.responses
  new = evaluate(params, batch.rollouts, models=models, config=config)
  of_policy = {}
  if batch.logps is None:
    batch = batch.replace(logps=jax.lax.stop_gradient(new.logps))
    of_policy = policy_metrics(
      batch.rollouts, batch.logps, batch.reference_logps
    )
  arrays = arrays_for(new, batch)
  wanted = {'shape': mask.shape, 'each': 'a token'}  # [N, R]
  losses = objectives.losses_of(config.objective, arrays, **wanted)
  if config.correction is not None:
    sampled = {
      'logps': batch.logps,
      'sampler_logps': arrays['sampler_logps'],
      'mask': mask,
    }
    losses *= objectives.evaluate(config.correction, sampled)
  if config.token_mask is not None:
    constant = jax.lax.stop_gradient(arrays)
    learnt = objectives.evaluate(config.token_mask, constant)
    losses = jnp.where(learnt, losses, 0.0)
  terms = {
    'policy': (1.0, config.reduction(losses, mask)),
    'entropy': (-config.entropy_coef, config.reduction(new.entropies, mask)),
  }
  if config.reference_objective is not None:
    losses = objectives.losses_of(config.reference_objective, arrays, **wanted)
    terms['reference'] = (config.reference_coef, config.reduction(losses, mask))
  if config.critic is not no_critic:
    losses = config.value_objective(new.values, batch.values, batch.returns)
    terms['value'] = (config.value_coef, config.reduction(losses, mask))
  ratios = importance.ratios(new.logps, batch.logps)
  metrics = {
    'ratio': Mean.of(ratios, mask),
    'clip_fraction': Mean.of(_clipped(config.objective, arrays), mask),
    'entropy': Mean.of(new.entropies, mask),
    'update_kl': Mean.of(divergences.k3(batch.logps, new.logps), mask),
  }
  return terms, metrics | of_policy


def arrays_for(new: TokenOutputs, batch: Experience) -> dict[str, chex.Array]:
  """The arrays [N, R] that an objective may name.

  `logps` and `entropies` are the policy's that is trained, `old_logps` its own
  before the round's updates, `sampler_logps` those of the distribution that the
  tokens were drawn from.
  """
  _, mask = batch.rollouts.responses
  return {
    'logps': new.logps,
    'old_logps': batch.logps,
    'reference_logps': batch.reference_logps,
    'sampler_logps': batch.rollouts.truncated_logps,
    'advantages': batch.advantages,
    'mask': mask,
    'entropies': new.entropies,
  }


def _clipped(objective, arrays):
  # Where clipping takes the gradient, whatever the objective clips.
  def total(logps):
    return jnp.sum(objectives.evaluate(objective, arrays | {'logps': logps}))

  gradients = jax.grad(total)(arrays['logps'])
  return (gradients == 0.0) & (arrays['advantages'] != 0.0)


def update(
  state: TrainState,
  frozen: Mapping[str, Params],
  batch: Experience,
  key: chex.PRNGKey,
  *,
  models: Models,
  optimizer: optax.GradientTransformation,
  config: Config,
) -> tuple[TrainState, Metrics]:
  """`epochs` passes of `minibatches` steps over [B, K] rollouts.

  Returns (state, metrics); state.step counts updates, not optimizer steps.

  Raises:
    ValueError: the responses do not divide into the minibatches.
  """
  # Every response is shuffled by itself.
  rest = flatten_candidates(batch.replace(rollouts=None))
  flat = rest.replace(rollouts=flatten_rollouts(batch.rollouts))
  moved, metrics = training.passes(
    state,
    frozen,
    flat,
    key,
    loss=loss,
    models=models,
    optimizer=optimizer,
    config=config,
  )
  return moved.replace(extra=_adapt(state.extra, flat, config)), metrics


def _adapt(extra, flat, config):
  if config.kl_control is None:
    return extra
  _, mask = flat.rollouts.responses
  scored = jnp.any(mask, axis=-1)
  kl = response_kl(flat.logps, flat.reference_logps, mask)
  coefficient = config.kl_control(
    extra['kl_coef'], Mean.of(kl, scored).value, steps=jnp.sum(scored)
  )
  return extra | {'kl_coef': coefficient}
