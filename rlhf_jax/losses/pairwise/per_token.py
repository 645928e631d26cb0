"""Pairwise objectives of log-ratios per token: a length is no advantage.

As those of `pairwise`, but of Δ̄, the difference of the two log-ratios, each
over its response's length (kernels.log_ratios). Coefficients are of another
size than with sums, by about a length.
"""

import chex
import jax

from rlhf_jax.kernels import log_ratios
from rlhf_jax.types.rules import Positive


def dpo_mean(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  reference_chosen_logps: chex.Array,
  reference_rejected_logps: chex.Array,
  chosen_lengths: chex.Array,
  rejected_lengths: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """DPO of log-ratios per token, so that a length is no advantage; per pair.

  −log σ(β Δ̄), Δ̄ the difference of the two log-ratios, each over its length.

  Args:
    policy_chosen_logps: [...] of whole responses, in nats: sums, not means.
    policy_rejected_logps: [...].
    reference_chosen_logps: [...].
    reference_rejected_logps: [...].
    chosen_lengths: [...] tokens of the chosen response, as floats.
    rejected_lengths: [...].
    beta: inverse temperature, larger than DPO's by about a length.

  Returns:
    [...] losses in nats, not averaged.

  Source: TRL's sigmoid_norm (a name that RSO gives to plain `dpo`).
  """
  margins = log_ratios.mean_margins(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
  )
  return -jax.nn.log_sigmoid(beta * margins)


def ipo_mean(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  reference_chosen_logps: chex.Array,
  reference_rejected_logps: chex.Array,
  chosen_lengths: chex.Array,
  rejected_lengths: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """IPO of log-ratios per token; one loss per pair.

  (Δ̄ − 1 / (2 β))², Δ̄ the difference of the two log-ratios, each over its
  length. With sums the target would be out of proportion to short responses.

  Args:
    policy_chosen_logps: [...] of whole responses, in nats: sums, not means.
    policy_rejected_logps: [...].
    reference_chosen_logps: [...].
    reference_rejected_logps: [...].
    chosen_lengths: [...] tokens of the chosen response, as floats.
    rejected_lengths: [...].
    beta: the paper's τ, > 0; the target in nats per token is 1 / (2 β).

  Returns:
    [...] losses in nats squared, not averaged.

  Source: Azar et al. 2023 (IPO), eq. 17; the means are TRL's, confirmed to it
  by the authors.
  """
  margins = log_ratios.mean_margins(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
    chosen_lengths,
    rejected_lengths,
  )
  return (margins - 0.5 / beta) ** 2
