"""Learning a policy from single responses, each desirable or not."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping

import chex
import jax
import jax.numpy as jnp
import optax

from rlhf_jax.kernels import logps, splicing
from rlhf_jax.losses import objective as objectives
from rlhf_jax.losses import unpaired
from rlhf_jax.training import state as training
from rlhf_jax.training.compile import override
from rlhf_jax.types import (
  Comparisons,
  Mean,
  Metrics,
  Models,
  Params,
  Terms,
  TrainState,
)
from rlhf_jax.types.calls import offering
from rlhf_jax.types.rules import Finite, NonNegative
from rlhf_jax.types.values import checked

# What `arrays_for` gives.
ARRAYS = (
  'policy_logps',
  'reference_logps',
  'lengths',
  'desirable',
  'mean_log_ratio',
  'kl',
)
Objective = offering(ARRAYS)


def first_is_desirable(batch: Comparisons) -> chex.Array:
  """[B, K] bool: of ranked responses the first is desirable, no other.

  One that stands alone, which nothing ranks, is desirable where its score is
  above 0, or where nobody scored it.
  """
  places = jnp.arange(batch.candidate_mask.shape[1])
  first = jnp.broadcast_to(places == 0, batch.candidate_mask.shape)
  if batch.scores is None:
    return first
  alone = jnp.sum(batch.candidate_mask, axis=1, keepdims=True) == 1
  return jnp.where(alone, positive_score(batch), first)


def positive_score(batch: Comparisons) -> chex.Array:
  """[B, K] bool: responses scored above 0 are desirable."""
  if batch.scores is None:
    raise ValueError(
      'these data have no scores to say what is desirable; take '
      'first_is_desirable for ranked responses'
    )
  return batch.scores > 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(objectives.Config):
  """Which objective is minimised, and what counts as desirable.

  Attributes:
    desirable: batch -> [B, K] bool.
    seen_log_ratio: sum over all responses of earlier steps of their log-ratios;
      carried from step to step.
    seen: how many these were.
  """

  objective: Objective = functools.partial(unpaired.kto, beta=0.1)
  desirable: Callable[[Comparisons], chex.Array] = first_is_desirable
  seen_log_ratio: Finite = 0.0
  seen: NonNegative = 0.0

  def initial_extra(self) -> dict[str, float]:
    """The state's `extra`: the running sum of log-ratios, and its count."""
    return {'seen_log_ratio': self.seen_log_ratio, 'seen': self.seen}


init = training.policy_from


def loss(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: Config,
) -> tuple[Terms, Metrics]:
  """Terms and metrics of Comparisons [B, K, T]. Differentiate in `params`.

  Every response is an example of its own. Log-probs are those of whole
  responses, end-of-text included.
  """
  del key  # Nothing here is random.
  weight = batch.weight[:, None] * batch.candidate_mask
  arrays = arrays_for(
    params,
    frozen,
    batch,
    objectives.reads(config.objective),
    models=models,
    config=config,
  )
  losses = objectives.losses_of(
    config.objective, arrays, shape=weight.shape, each='a response'
  )
  log_ratios = arrays['policy_logps'] - arrays['reference_logps']
  wanted = arrays['desirable']
  terms = {'preference': (1.0, Mean.of(losses, weight))}
  metrics = {
    'log_ratio': Mean.of(log_ratios, weight),
    'desirable_log_ratio': Mean.of(log_ratios, weight * wanted),
    'undesirable_log_ratio': Mean.of(log_ratios, weight * ~wanted),
  }
  if 'kl' in arrays:
    metrics['kl_estimate'] = Mean.of(arrays['kl'])
  return terms, metrics


def arrays_for(
  params: Params,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  wanted: Collection[str],
  *,
  models: Models,
  config: Config,
) -> dict[str, chex.Array]:
  """The arrays that an objective may name.

  policy_logps, reference_logps: [B, K] nats.
  lengths: [B, K] tokens, float32.
  desirable: [B, K] bool.
  kl: [] nats, where wanted: the mean log-ratio, at least 0, of each response
    as an answer to the prompt of the row before it; 0 where no two rows next to
    each other ask different prompts. A constant.
  mean_log_ratio: [] nats, over this batch and all earlier steps; a constant.

  Args:
    params, frozen, batch, models, config: as in `loss`.
    wanted: names; what takes a model is computed for these alone.

  Raises:
    ValueError: a KL is wanted, and there is no reference, or no other row.
  """
  policy, reference = params['policy'], frozen.get('reference')
  policy_logps = logps.response_logps(models.policy, policy, batch)
  reference_logps = logps.reference_logps(models.policy, reference, batch)
  weight = batch.weight[:, None] * batch.candidate_mask
  here = Mean.of(policy_logps - reference_logps, weight)
  so_far = here + Mean(config.seen_log_ratio, config.seen)
  arrays = {
    'policy_logps': policy_logps,
    'reference_logps': reference_logps,
    'lengths': logps.response_lengths(batch),
    'desirable': config.desirable(batch),
    'mean_log_ratio': jax.lax.stop_gradient(so_far.value),
  }
  if 'kl' in wanted:
    if reference is None:
      raise ValueError(
        'this objective estimates a KL from mismatched responses, which takes '
        "the reference itself: freeze one, {'reference': …}"
      )
    if len(batch.tokens) < 2:
      raise ValueError(
        'this objective estimates a KL from responses to other prompts, and a '
        'batch of one prompt has none; set batch_size to 2 or more'
      )
    others = mismatched(batch)
    gaps = logps.response_logps(models.policy, policy, others)
    gaps -= logps.response_logps(models.policy, reference, others)
    counted = weight * (jnp.roll(weight, -1, axis=0) != 0.0)
    estimate = Mean.of(gaps, counted * _asks_another(batch, counted))
    arrays['kl'] = jax.lax.stop_gradient(jnp.maximum(estimate.value, 0.0))
  return arrays


def mismatched(batch: Comparisons) -> Comparisons:
  """Each prompt with the responses to the next prompt of the batch."""
  B, K, T = batch.tokens.shape

  def fold(x):
    return x.reshape(B * K, T)

  prompt = fold(batch.attention_mask & ~batch.response_mask)
  tokens, attention_mask, response_mask = splicing.splice(
    fold(batch.tokens),
    prompt,
    fold(jnp.roll(batch.tokens, -1, axis=0)),
    fold(jnp.roll(batch.response_mask, -1, axis=0)),
    T,
  )
  return batch.replace(
    tokens=tokens.reshape(B, K, T),
    attention_mask=attention_mask.reshape(B, K, T),
    response_mask=response_mask.reshape(B, K, T),
  )


def _asks_another(batch, counted):
  """[] bool: some pair of rows that is counted [B, K] asks two prompts.

  Where none does, every response answers the very prompt that it is learnt at,
  and its log-ratio says nothing of the KL.
  """
  prompt = batch.attention_mask & ~batch.response_mask
  asked = jnp.max(jnp.where(prompt, batch.tokens, -1), axis=1)  # [B, T]
  differs = jnp.any(asked != jnp.roll(asked, -1, axis=0), axis=-1)
  return jnp.any(differs[:, None] & (counted != 0.0))


step = training.gradient_step(loss)


def update(
  state: TrainState,
  frozen: Mapping[str, Params],
  batch: Comparisons,
  key: chex.PRNGKey,
  *,
  models: Models,
  optimizer: optax.GradientTransformation,
  config: Config,
) -> tuple[TrainState, Metrics]:
  """One gradient step; the running mean goes on. Returns (state, metrics)."""
  config = override(config, state.extra)
  state, metrics = step(
    state, frozen, batch, key, models=models, optimizer=optimizer, config=config
  )
  seen = metrics['log_ratio'] + Mean(config.seen_log_ratio, config.seen)
  extra = {'seen_log_ratio': seen.total, 'seen': seen.weight}
  return state.replace(extra=extra), metrics
