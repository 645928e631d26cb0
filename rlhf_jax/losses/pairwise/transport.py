"""Alignment via optimal transport: batches compared quantile by quantile.

In one dimension the cheapest transport pairs sorted values, so these sort over
the last axis and the loss of an example depends on the others: a batch for them
cannot be cut. What comes back is one loss per quantile, not per pair.

Source: Melnyk et al. 2024, "Distributional Preference Alignment of LLMs via
Optimal Transport" (AOT), with the logistic loss.
"""

import chex
import jax.numpy as jnp

from rlhf_jax.kernels import pair_gaps
from rlhf_jax.losses import objective
from rlhf_jax.losses.pairwise import curves
from rlhf_jax.types.rules import Positive, Smoothing


@objective.coupled
def aot(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  reference_chosen_logps: chex.Array,
  reference_rejected_logps: chex.Array,
  *,
  beta: Positive,
  label_smoothing: Smoothing = 0.0,
) -> chex.Array:
  """Every quantile of the policy's gaps is to exceed the reference's.

  −(1 − ε) log σ(β x) − ε log σ(−β x), where x is the sorted policy log-ratios
  of chosen to rejected less the sorted ones of the reference. Each is sorted by
  itself, so that log-ratios to the reference would not do.

  Args:
    policy_chosen_logps: [..., B] of whole responses, in nats.
    policy_rejected_logps: [..., B].
    reference_chosen_logps: [..., B].
    reference_rejected_logps: [..., B].
    beta: inverse temperature, > 0.
    label_smoothing: ε, in [0, 0.5).

  Returns:
    [..., B] losses in nats by quantile, the lowest first, not averaged.

  Source: Melnyk et al. 2024, paired AOT.
  """
  pair_gaps.alike(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
  )
  policy = policy_chosen_logps - policy_rejected_logps
  reference = reference_chosen_logps - reference_rejected_logps
  gaps = jnp.sort(policy) - jnp.sort(reference)
  return curves.smoothed_logistic(beta * gaps, label_smoothing)


@objective.coupled
def aot_unpaired(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
  label_smoothing: Smoothing = 0.0,
) -> chex.Array:
  """Every quantile of the chosen log-ratios is to exceed the rejected ones'.

  −(1 − ε) log σ(β x) − ε log σ(−β x), where x is the sorted log-ratios of the
  chosen responses less the sorted ones of the rejected. Which rejected response
  goes with which chosen one does not matter.

  Args:
    chosen_log_ratios: [..., B] of whole responses, in nats.
    rejected_log_ratios: [..., B].
    beta: inverse temperature, > 0.
    label_smoothing: ε, in [0, 0.5).

  Returns:
    [..., B] losses in nats by quantile, the lowest first, not averaged.

  Source: Melnyk et al. 2024, unpaired AOT.
  """
  chosen, rejected = pair_gaps.alike(chosen_log_ratios, rejected_log_ratios)
  gaps = jnp.sort(chosen) - jnp.sort(rejected)
  return curves.smoothed_logistic(beta * gaps, label_smoothing)
