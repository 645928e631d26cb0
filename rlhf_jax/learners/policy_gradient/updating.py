"""Loss and update from experience, whatever estimated its advantages."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Annotated

import chex
import jax
import jax.numpy as jnp
import optax

from rlhf_jax.kernels import divergences, importance, masking
from rlhf_jax.learners.policy_gradient.evaluation import (
  Critic,
  TokenOutputs,
  evaluate,
  flatten_rollouts,
  no_critic,
  shared_trunk,
)
from rlhf_jax.learners.policy_gradient.round_metrics import (
  policy_metrics,
  response_kl,
)
from rlhf_jax.losses import objective as objectives
from rlhf_jax.losses import supervised
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
from rlhf_jax.types.calls import Called, offering
from rlhf_jax.types.rules import Count, NonNegative, Positive
from rlhf_jax.types.values import checked

# (losses [N, R], mask [N, R]) -> Mean: a function of kernels.masking.
Reduction = Callable[[chex.Array, chex.Array], Mean]
# What `arrays_for` gives, and what a correction may name.
ARRAYS = (
  'logps',
  'old_logps',
  'reference_logps',
  'sampler_logps',
  'advantages',
  'entropies',
  'mask',
)
CORRECTING = ('logps', 'sampler_logps', 'mask')
Objective = offering(ARRAYS)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config:
  """The update from a batch of experience.

  Attributes:
    objective: from those of `ARRAYS` that its parameters name to
      losses [N, R], its options bound.
    reference_objective: likewise, losses that hold the policy to the reference,
      as divergences.k3; None for none.
    reference_coef: their weight.
    correction: from those of logps (before the update), sampler_logps and mask
      that it names to constant weights [N, R] of the objective's losses, as
      importance.truncated_weights; None for none.
    token_mask: from those of `ARRAYS` that it names to the tokens
      [N, R] bool that the objective learns from, a function of
      kernels.token_masks; the others' losses are 0, and still count in the
      average. None for all.
    value_objective: (values, old_values, returns) [..., R] -> losses [..., R].
    critic: where values come from: `separate_critic`, `shared_trunk`,
      `no_critic`.
    reduction: how losses are averaged, of kernels.masking.
    value_coef: weight of the value loss.
    entropy_coef: weight of the entropy, in nats per token, that is kept up.
    temperature: at which the policy samples, and so is scored.
    epochs: passes over each batch.
    minibatches: optimizer steps in a pass.
    micro_batches: parts that a minibatch, and what a round samples and scores,
      is cut into, to save memory.
    kl_control: (kl_coef, KL in nats per response, steps=responses) -> the next
      kl_coef, as kernels.rewards.adaptive_kl_coef with its target and horizon
      bound; None keeps it fixed.
  """

  objective: Objective
  reference_objective: Objective | None = None
  reference_coef: NonNegative = 0.0
  correction: offering(CORRECTING) | None = None
  token_mask: Objective | None = None
  value_objective: Callable[
    [chex.Array, chex.Array, chex.Array], chex.Array
  ] = functools.partial(supervised.clipped_squared_error, clip_epsilon=0.2)
  critic: Critic = no_critic
  reduction: Reduction = masking.token_mean
  value_coef: NonNegative = 0.0
  entropy_coef: NonNegative = 0.0
  temperature: Positive = 1.0
  epochs: Count = 1
  minibatches: Count = 1
  micro_batches: Count = 1
  kl_control: (
    Annotated[Callable[..., chex.Array], Called(2, ('steps',))] | None
  ) = None

  @property
  def one_step(self) -> bool:
    """Whether a batch gives one step, taken by the policy that sampled."""
    return self.epochs * self.minibatches == 1


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
