"""Surrogates of whole responses: one ratio, and so one clip, for all tokens.

The loss of a response stands at each of its tokens, [N, R]. With an advantage
per response `masking.sequence_mean` then counts it once, whatever its length,
and `masking.sequence_sum` once per token.
"""

import functools
from collections.abc import Callable

import chex
import jax.numpy as jnp

from rlhf_jax.kernels import importance
from rlhf_jax.losses.policy_gradient.surrogates import (
  clipped_surrogate,
  surrogates,
)
from rlhf_jax.types.rules import Bound


def sequence_surrogate(
  logps: chex.Array,
  old_logps: chex.Array,
  advantages: chex.Array,
  mask: chex.Array,
  *,
  surrogate: Callable[..., chex.Array],
) -> chex.Array:
  """Any surrogate of the ratio s of a whole response, as GSPO's.

  s is the geometric mean of the token ratios (importance.sequence_ratios); the
  surrogate is given it at every token.

  Args:
    logps: [N, R] under the policy that is trained.
    old_logps: [N, R] under the policy before this round of updates.
    advantages: [N, R].
    mask: [N, R] bool, True on response tokens.
    surrogate: (logps, old_logps, advantages) -> losses [N, R], of `surrogates`,
      such as `dual_clipped_surrogate` or `sapo`, its options bound.

  Returns:
    [N, R] losses, not averaged.
  """
  return surrogate(
    importance.sequence_logps(logps, mask),
    importance.sequence_logps(old_logps, mask),
    advantages,
  )


def clipped_sequence_surrogate(
  logps: chex.Array,
  old_logps: chex.Array,
  advantages: chex.Array,
  mask: chex.Array,
  *,
  clip_epsilon: Bound,
  clip_epsilon_high: Bound | None = None,
) -> chex.Array:
  """GSPO: the ratio is the geometric mean s of a response's token ratios.

  −min(s A, clip(s, 1 − ε, 1 + ε_high) A). Under `masking.sequence_mean` it is
  the paper's objective; under `masking.sequence_sum` it is LUSPO's, which
  weighs a response by its length lest short ones be favoured.

  Args:
    logps: [N, R] under the policy that is trained.
    old_logps: [N, R] under the policy before this round of updates.
    advantages: [N, R].
    mask: [N, R] bool, True on response tokens.
    clip_epsilon: ε, far smaller than PPO's: 3e-4 for GSPO, 2e-3 for LUSPO.
    clip_epsilon_high: ε_high; ε by default. 4e-4 and 2.5e-3.

  Returns:
    [N, R] losses, not averaged.

  Source: Zheng et al. 2025 (GSPO), the sequence-level objective; LUSPO,
  arXiv 2602.05261.
  """
  clipped = functools.partial(
    clipped_surrogate,
    clip_epsilon=clip_epsilon,
    clip_epsilon_high=clip_epsilon_high,
  )
  return sequence_surrogate(
    logps, old_logps, advantages, mask, surrogate=clipped
  )


def clipped_response_surrogate(
  logps: chex.Array,
  old_logps: chex.Array,
  advantages: chex.Array,
  mask: chex.Array,
  *,
  clip_epsilon: Bound,
  clip_epsilon_high: Bound | None = None,
) -> chex.Array:
  """PPO's objective with a response as one action, as RLOO has it.

  −min(w A, clip(w, 1 − ε, 1 + ε_high) A), where w is the ratio of the whole
  response's probabilities, the product over its tokens; `sequence_mean`
  averages it.

  Args:
    logps: [N, R] under the policy that is trained.
    old_logps: [N, R] under the policy before this round of updates.
    advantages: [N, R].
    mask: [N, R] bool, True on response tokens.
    clip_epsilon: ε; the product leaves [1 − ε, 1 + ε] sooner the longer the
      response.
    clip_epsilon_high: ε_high; ε by default.

  Returns:
    [N, R] losses, not averaged.

  Source: Ahmadian et al. 2024 (RLOO), for the response as one action; the
  clip is TRL's.
  """
  ratios = importance.response_ratios(logps, old_logps, mask)
  return -jnp.minimum(
    *surrogates(ratios, advantages, clip_epsilon, clip_epsilon_high)
  )
