"""What policy, critic, reference and reward give for rollouts: `measure`."""

from collections.abc import Mapping
from typing import NamedTuple

import chex
import jax.numpy as jnp

from rlhf_jax.kernels import logps, masking, rewards
from rlhf_jax.learners.policy_gradient.configs import (
  Config,
  OnlineConfig,
  no_critic,
)
from rlhf_jax.learners.policy_gradient.round_metrics import (
  explained_variance,
  rollout_metrics,
)
from rlhf_jax.training.compile import override
from rlhf_jax.training.parts import in_parts
from rlhf_jax.types import (
  Experience,
  Mean,
  Metrics,
  Models,
  Params,
  Rollouts,
  flatten_candidates,
)


class TokenOutputs(NamedTuple):
  """Outputs of the trainer's own pass over rollouts: [N, R] each."""

  logps: chex.Array
  entropies: chex.Array
  values: chex.Array


def evaluate(
  params: Params, rollouts: Rollouts, *, models: Models, config: Config
) -> TokenOutputs:
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
  return TokenOutputs(token_logps, entropies, values)


def flatten_rollouts(rollouts: Rollouts) -> Rollouts:
  """[B, K, …] -> [B * K, …]; each sample keeps its prompt's index."""
  _, K, _ = rollouts.tokens.shape
  index = jnp.repeat(rollouts.index[:, None], K, axis=1)
  return flatten_candidates(rollouts.replace(index=index))


class MeasuredRollouts(NamedTuple):
  """Scored rollouts and outputs of policy, critic and reference: N = B K rows.

  Attributes:
    rollouts: Rollouts [B, K, T].
    raw_scores: [B, K] scores as the reward gave them.
    scores: [N] likewise, clipped, less the penalties of length and of no end.
    mask: [N, R] bool, True on response tokens.
    outputs: the TokenOutputs of the policy that sampled, [N, R] each.
    reference_logps: [N, R].
  """

  rollouts: Rollouts
  raw_scores: chex.Array
  scores: chex.Array
  mask: chex.Array
  outputs: TokenOutputs
  reference_logps: chex.Array

  def groups(self, x: chex.Array) -> chex.Array:
    """[N, ...] -> [B, K, ...]: a row for each prompt."""
    return x.reshape(*self.raw_scores.shape, *x.shape[1:])

  def at_tokens(self, x: chex.Array) -> chex.Array:
    """[B, K] or [N] -> [N, R]: each response's number at all its tokens."""
    return jnp.where(self.mask, x.reshape(-1, 1), 0.0)

  @property
  def has_score(self) -> chex.Array:
    """[B, K] bool, True on responses that count: those with a score."""
    return self.groups(jnp.any(self.mask, axis=-1))


def measure(
  params: Params,
  frozen: Mapping[str, Params],
  rollouts: Rollouts,
  scores: chex.Array,
  *,
  models: Models,
  config: OnlineConfig,
) -> MeasuredRollouts:
  """Scores and model outputs of rollouts; a method's `shape` begins with it.

  Args:
    params: {'policy', and 'critic' where there is one}.
    frozen: {'reference'}.
    rollouts: Rollouts [B, K, T].
    scores: [B, K] in reward units.
    models: policy and critic.
    config: an OnlineConfig.
  """
  flat = flatten_rollouts(rollouts)
  _, mask = flat.responses

  def evaluated(params, config):
    def of_rows(rows):
      return evaluate(params, rows, models=models, config=config)

    return in_parts(of_rows, flat, config.micro_batches)

  without_critic = override(config, {'critic': no_critic})
  reference = evaluated({'policy': frozen['reference']}, without_critic)
  return MeasuredRollouts(
    rollouts=rollouts,
    raw_scores=scores,
    scores=penalised(scores, rollouts, config).reshape(-1),
    mask=mask,
    outputs=evaluated(params, config),
    reference_logps=reference.logps,
  )


def penalised(
  scores: chex.Array, rollouts: Rollouts, config: OnlineConfig
) -> chex.Array:
  """Scores [B, K], clipped, less the penalties of length and of no end."""
  if config.score_clip is not None:
    scores = jnp.clip(scores, -config.score_clip, config.score_clip)
  scores = rewards.penalise_unended(
    scores, rollouts.ended, penalty=config.unended_penalty
  )
  if config.length_penalty is not None:
    _, mask = rollouts.responses
    lengths = jnp.sum(mask, axis=-1, dtype=jnp.float32)
    scores = scores - config.length_penalty(lengths)
  return scores


def without_penalty(config: OnlineConfig) -> bool:
  """Whether no KL is taken off the rewards, known before it is compiled."""
  return isinstance(config.kl_coef, int | float) and config.kl_coef == 0


def penalised_logps(
  measured: MeasuredRollouts, config: OnlineConfig
) -> chex.Array:
  """[N, R] of the policy, whose KL is penalised.

  Without a penalty they are the reference's, of KL 0, so that a program need
  not read with the policy.
  """
  if without_penalty(config):
    return measured.reference_logps
  return measured.outputs.logps


def token_rewards(
  measured: MeasuredRollouts, scores: chex.Array, config: OnlineConfig
) -> chex.Array:
  """[N, R]: scores [N] at the last tokens, the KL penalty at all of them."""
  logps = penalised_logps(measured, config)
  return rewards.token_rewards(
    scores,
    logps,
    measured.reference_logps,
    measured.mask,
    kl_coef=config.kl_coef,
    estimator=config.kl_estimator,
  )


def sequence_rewards(
  measured: MeasuredRollouts, config: OnlineConfig
) -> chex.Array:
  """[N]: the score less the KL penalty of the whole response."""
  each = token_rewards(measured, measured.scores, config)
  return masking.masked_sum(each, measured.mask, axis=-1)


def experience(
  measured: MeasuredRollouts,
  *,
  advantages: chex.Array,
  response_rewards: chex.Array,
  config: OnlineConfig,
  returns: chex.Array | None = None,
) -> tuple[Experience, Metrics]:
  """Experience [B, K] with these advantages, and metrics; `shape` ends with it.

  Args:
    measured: of `measure`.
    advantages: [N, R], 0 where masked.
    response_rewards: [N] of whole responses, less all penalties; logged.
    config: an OnlineConfig.
    returns: [N, R] the critic's targets; the advantages where there is none.
  """
  now, reference_logps = measured.outputs, measured.reference_logps
  metrics = rollout_metrics(
    flatten_rollouts(measured.rollouts),
    now.logps,
    reference_logps,
    scores=measured.raw_scores.reshape(-1),
  )
  metrics['reward'] = Mean.of(response_rewards, measured.has_score.reshape(-1))
  metrics['kl_coef'] = Mean.of(config.kl_coef)
  returns = advantages if returns is None else returns
  if config.critic is not no_critic:
    metrics['explained_variance'] = explained_variance(
      now.values, returns, measured.mask
    )
  per_token = (now.logps, reference_logps, now.values, advantages, returns)
  batch = Experience(measured.rollouts, *map(measured.groups, per_token))
  return batch, metrics


def shape_by_group(
  params: Params,
  frozen: Mapping[str, Params],
  rollouts: Rollouts,
  scores: chex.Array,
  *,
  models: Models,
  config: OnlineConfig,
) -> tuple[Experience, Metrics]:
  """A `shape` that judges a response by the others to its prompt.

  `config.baseline`, a function of kernels.baselines, turns the scores less the
  KL of whole responses into advantages [B, K], the same at all tokens of a
  response. Returns (Experience [B, K], metrics).

  Args: as of `measure`; the config has a `baseline`, as RLOO's and GRPO's.
  """
  measured = measure(
    params, frozen, rollouts, scores, models=models, config=config
  )
  rewards = sequence_rewards(measured, config)
  advantages = config.baseline(measured.groups(rewards), measured.has_score)
  return experience(
    measured,
    advantages=measured.at_tokens(advantages),
    response_rewards=rewards,
    config=config,
  )
