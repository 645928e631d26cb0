"""From one score per response to a reward per token.

Scores are in reward units, log-probs in nats. To shrink rewards to unit scale
without changing their sign, masking.whiten(…, shift_mean=False).
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import divergences
from rlhf_jax.types.rules import NonNegative, Positive


def token_rewards(
  scores: chex.Array,
  logps: chex.Array,
  reference_logps: chex.Array,
  mask: chex.Array,
  *,
  kl_coef: chex.Numeric,
  estimator: Callable[..., chex.Array] = divergences.k1,
) -> chex.Array:
  """The score on the last token, and a KL penalty on every token.

  rₜ = −β · kl(t), plus the response's score where t is its last token.

  Args:
    scores: [N] reward of each whole response.
    logps: [N, R] of the response's tokens under the policy that sampled them.
    reference_logps: [N, R] of the same tokens under the reference.
    mask: [N, R] bool, True on response tokens.
    kl_coef: β, reward units per nat.
    estimator: (logps, reference_logps) -> the penalty per token, from
      `divergences`. k1 makes the penalty unbiased.

  Returns:
    [N, R] rewards, 0 where masked; a row without tokens has none, its score
    is dropped. A target: no gradient flows through it.

  Source: Ziegler et al. 2019, eq. 2.
  """
  chex.assert_rank([scores, logps], [1, 2])
  chex.assert_type(mask, bool)
  chex.assert_equal_shape([logps, reference_logps, mask])
  chex.assert_equal_shape_prefix([scores, logps], 1)

  penalties = jnp.where(mask, kl_coef * estimator(logps, reference_logps), 0.0)
  remaining = jnp.cumsum(mask[:, ::-1], axis=-1)[:, ::-1]
  is_last = mask & (remaining == 1)
  rewards = jnp.where(is_last, scores[:, None], 0.0) - penalties
  return jax.lax.stop_gradient(rewards)


def penalise_unended(
  scores: chex.Array, ended: chex.Array, *, penalty: chex.Numeric
) -> chex.Array:
  """scores [...] less `penalty` where `ended` [...] is False.

  In reward units. It teaches the policy to close responses with end-of-text.
  """
  chex.assert_type([scores, ended], [float, bool])
  chex.assert_equal_shape([scores, ended])
  return jnp.where(ended, scores, scores - penalty)


def scale_unended(
  scores: chex.Array, ended: chex.Array, *, factor: chex.Numeric
) -> chex.Array:
  """scores [...] times `factor` where `ended` [...] is False.

  For scores that are not negative, such as those of a check of the answer, and
  a factor in [0, 1]; a negative score would be raised.

  Source: OpenRLHF's stop-properly penalty with a coefficient ≥ 0.
  """
  chex.assert_type([scores, ended], [float, bool])
  chex.assert_equal_shape([scores, ended])
  return jnp.where(ended, scores, factor * scores)


def replace_unended(
  scores: chex.Array, ended: chex.Array, *, value: chex.Numeric
) -> chex.Array:
  """scores [...], but `value` where `ended` [...] is False.

  The score of a response that was cut off, NaN included, is dropped.

  Source: OpenRLHF's stop-properly penalty with a coefficient < 0; AlpacaFarm.
  """
  chex.assert_type([scores, ended], [float, bool])
  chex.assert_equal_shape([scores, ended])
  return jnp.where(ended, scores, value)


def overlong_penalty(
  lengths: chex.Array,
  *,
  max_length: Positive,
  buffer: Positive,
  factor: NonNegative = 1.0,
) -> chex.Array:
  """A penalty to subtract from the scores of long responses.

  factor · (length − (max_length − buffer)) / buffer, clipped to [0, factor]: 0
  until `buffer` tokens before the limit, `factor` at the limit.

  Args:
    lengths: [...] of responses, in tokens.
    max_length: the limit; 20480 in the paper.
    buffer: over how many tokens the penalty grows, > 0; 4096 in the paper.
    factor: the largest penalty, in reward units; 1 in the paper.

  Returns:
    [...] float32, in reward units, not negative.

  Source: Yu et al. 2025 (DAPO), section 3.4, soft overlong punishment.
  """
  excess = jnp.asarray(lengths, jnp.float32) - (max_length - buffer)
  return factor * jnp.clip(excess / buffer, 0.0, 1.0)


def adaptive_kl_coef(
  kl_coef: chex.Numeric,
  kl: chex.Numeric,
  *,
  target: Positive,
  horizon: Positive,
  steps: chex.Numeric,
) -> chex.Array:
  """The next KL coefficient, raised where the KL is above its target.

  β (1 + e · steps / horizon), where e = clip(kl / target − 1, −0.2, 0.2).

  Args:
    kl_coef: [] β now.
    kl: [] measured, in the unit of `target`: nats per response.
    target: the KL to be held, > 0.
    horizon: samples over which an error e would change β by about a factor eᵉ;
      larger is slower.
    steps: samples since the last update of β.

  Returns:
    [] β next.

  Source: Ziegler et al. 2019, section 2.2, whose K_β is steps / horizon.
  """
  error = jnp.clip(kl / target - 1.0, -0.2, 0.2)
  return kl_coef * (1.0 + error * steps / horizon)
