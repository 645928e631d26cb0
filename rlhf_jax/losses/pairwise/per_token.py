"""Pairwise objectives of log-ratios per token: a length is no advantage.

As those of `curves`, but of Δ̄, the gap between the two log-ratios, each over
its response's length (kernels.pair_gaps). Coefficients are of another size than
with sums, by about a length.
"""

import chex
import jax

from rlhf_jax.kernels import pair_gaps
from rlhf_jax.types.rules import Positive


def dpo_mean(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  chosen_lengths: chex.Array,
  rejected_lengths: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """DPO of log-ratios per token, so that a length is no advantage; per pair.

  −log σ(β Δ̄), Δ̄ the difference of the two log-ratios, each over its length.

  Args:
    chosen_log_ratios: [...] of whole responses, in nats: sums, not means.
    rejected_log_ratios: [...].
    chosen_lengths: [...] tokens of the chosen response, as floats.
    rejected_lengths: [...].
    beta: inverse temperature, larger than DPO's by about a length.

  Returns:
    [...] losses in nats, not averaged.

  Source: TRL's sigmoid_norm (a name that RSO gives to plain `dpo`).
  """
  gaps = pair_gaps.mean_gaps(
    chosen_log_ratios, rejected_log_ratios, chosen_lengths, rejected_lengths
  )
  return -jax.nn.log_sigmoid(beta * gaps)


def ipo_mean(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  chosen_lengths: chex.Array,
  rejected_lengths: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """IPO of log-ratios per token; one loss per pair.

  (Δ̄ − 1 / (2 β))², Δ̄ the difference of the two log-ratios, each over its
  length. With sums the target would be out of proportion to short responses.

  Args:
    chosen_log_ratios: [...] of whole responses, in nats: sums, not means.
    rejected_log_ratios: [...].
    chosen_lengths: [...] tokens of the chosen response, as floats.
    rejected_lengths: [...].
    beta: the paper's τ, > 0; the target in nats per token is 1 / (2 β).

  Returns:
    [...] losses in nats squared, not averaged.

  Source: Azar et al. 2023 (IPO), eq. 17; the means are TRL's, confirmed to it
  by the authors.
  """
  gaps = pair_gaps.mean_gaps(
    chosen_log_ratios, rejected_log_ratios, chosen_lengths, rejected_lengths
  )
  return (gaps - 0.5 / beta) ** 2
