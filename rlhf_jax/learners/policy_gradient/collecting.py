"""What methods that learn from their own samples share.

A method's `collect` samples, scores and hands both to its `shape`, a pure
function that is jitted: `measure`, the method's estimate of advantages, and
`experience`.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.feedback import scoring
from rlhf_jax.learners.policy_gradient.configs import OnlineConfig, no_critic
from rlhf_jax.learners.policy_gradient.evaluation import without_penalty
from rlhf_jax.learners.policy_gradient.round_metrics import OF_POLICY
from rlhf_jax.training.compile import jitted, override
from rlhf_jax.training.metrics import Stopwatch
from rlhf_jax.training.parts import one_by_one, size_of
from rlhf_jax.types import (
  Metrics,
  Models,
  Params,
  Prompts,
  Rollouts,
  TrainState,
)


def refuse(config: OnlineConfig, *, fewest_samples: int = 1) -> None:
  """Refuses a config that a method without a critic cannot use.

  Raises:
    ValueError: saying so.
  """
  if config.critic is not no_critic:
    raise ValueError(
      'critic is set, and this method learns without one; take ppo for a critic'
    )
  if config.samples < fewest_samples:
    raise ValueError(
      f'samples is {config.samples}, and this method needs {fewest_samples} or '
      'more responses to each prompt'
    )


def sample_and_score(
  policy: Params,
  frozen: Mapping[str, Params],
  prompts: Prompts,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: OnlineConfig,
  stopwatch: Stopwatch,
) -> tuple[Rollouts, chex.Array]:
  """Rollouts [B, K, T] of the policy, and their scores [B, K], finite.

  A response without a score is left out: nothing of it is in the response mask,
  so that it is in no baseline, no statistic and no loss.

  Args:
    policy: the policy's parameters, as the sampler's `load` gives them.
    frozen: {'reward' where a model scores}.
    prompts: Prompts [B, P].
    key: of the step; each sample's key is folded from it, the prompt's index
      and the sample's number.
    models: with a sampler and a scorer.
    config: an OnlineConfig.
    stopwatch: adds up the seconds of sampling and of scoring.

  Raises:
    ScoringError: no response has a score.
  """
  # A prompt's samples stay together.
  size = prompts.tokens.shape[0]
  at_a_time = size_of(size, config.micro_batches, samples=config.samples)
  fewer = {} if at_a_time == size else {'at_a_time': at_a_time}

  def score(part):
    return jnp.asarray(models.scorer(frozen, part), jnp.float32)

  with stopwatch('sample'):
    rollouts = models.sampler.sample(
      policy,
      prompts,
      key,
      samples=config.samples,
      sampling=config.sampling.replace(temperature=config.temperature),
      **fewer,
    )
    jax.block_until_ready(rollouts)
  with stopwatch('score'):
    # A program takes them all: it may send many to a server at a time.
    parts = size // at_a_time if 'reward' in frozen else 1
    scores = one_by_one(score, rollouts, parts)
  scored = jnp.isfinite(scores)
  return leave_out(rollouts, ~scored), jnp.where(scored, scores, 0.0)


def leave_out(rollouts: Rollouts, which: chex.Array) -> Rollouts:
  """Rollouts with the responses that `which` [B, K] marks masked whole.

  Raises:
    ScoringError: none are left.
  """
  kept = rollouts.response_mask & ~which[..., None]
  if not kept.any():
    raise scoring.ScoringError(
      f'none of {which.size} responses has a score; look at what the reward '
      'says of them, or whether the numbers of a learnt one are finite'
    )
  return rollouts.replace(response_mask=kept)


def collect(
  state: TrainState,
  frozen: Mapping[str, Params],
  prompts: Prompts,
  key: chex.PRNGKey,
  *,
  models: Models,
  config: OnlineConfig,
  shape: Callable,
) -> tuple[Any, Metrics]:
  """Samples, scores and shapes a batch. Returns what `shape` does.

  Args:
    state: params {'policy', and 'critic' where there is one}, and in `extra`
      what is adapted as training goes.
    frozen, prompts, key, models, config: as in `sample_and_score`; frozen with
      the reference too.
    shape: a method's (params, frozen, rollouts, scores, *, models, config) ->
      (Experience [B, K], or what else its update learns from, metrics).
  """
  stopwatch = Stopwatch()
  scored = sample_and_score(
    models.sampler.load(state.params['policy']),
    frozen,
    prompts,
    key,
    models=models,
    config=config,
    stopwatch=stopwatch,
  )
  with stopwatch('score'):
    batch, metrics = shape_scored(
      shape, state, frozen, *scored, models=models, config=config
    )
  return batch, metrics | stopwatch.metrics()


def shape_scored(
  shape: Callable,
  state: TrainState,
  frozen: Mapping[str, Params],
  rollouts: Rollouts,
  scores: chex.Array,
  *more: chex.Array,
  models: Models,
  config: OnlineConfig,
) -> tuple[Any, Metrics]:
  """A method's `shape` of scored rollouts, compiled.

  A KL coefficient that adapts is read from the state; the config says where it
  began. Where the update is one step, and neither a penalty nor a critic needs
  the policy before it, the experience has no log-probs of the policy: they are
  the update's own.
  """
  config = override(config, state.extra)
  if isinstance(config, OnlineConfig) and _needs_no_policy(config):
    shape = without_policy(shape)
  return jax.block_until_ready(
    jitted(shape)(
      state.params,
      frozen,
      rollouts,
      scores,
      *more,
      models=models,
      config=config,
    )
  )


@functools.lru_cache
def without_policy(shape: Callable) -> Callable:
  """A method's `shape` less what the policy's own pass gives.

  Compiled, it does not make that pass.
  """

  def shaped(*given, **named):
    batch, metrics = shape(*given, **named)
    metrics = {k: m for k, m in metrics.items() if k not in OF_POLICY}
    return batch.replace(logps=None), metrics

  return shaped


def _needs_no_policy(config: OnlineConfig) -> bool:
  free = without_penalty(config) and config.critic is no_critic
  return free and config.one_step
