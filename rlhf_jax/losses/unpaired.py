"""Objectives over single responses, each labelled desirable or not.

KTO compares a response's log-ratio to the reference with the policy's KL from
it, BCO with the mean log-ratio so far. Both baselines are numbers of the whole
batch, and constants to the gradient. All take

  policy_logps: [...] log-prob of the whole response, in nats.
  reference_logps: [...] likewise.
  desirable: [...] bool.
"""

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.losses.objective import coupled
from rlhf_jax.types.rules import NonNegative, Positive


@coupled
def kto(
  policy_logps: chex.Array,
  reference_logps: chex.Array,
  desirable: chex.Array,
  kl: chex.Array,
  *,
  beta: Positive,
  desirable_weight: NonNegative = 1.0,
  undesirable_weight: NonNegative = 1.0,
) -> chex.Array:
  """Kahneman–Tversky optimisation; one loss per response.

  w⁺ (1 − σ(β (ρ − z))) where desirable and w⁻ (1 − σ(β (z − ρ))) where not,
  with ρ the log-ratio of policy to reference.

  Args:
    kl: [] z ≥ 0, the KL of policy to reference in nats, as estimated from the
      batch; a constant.
    beta: inverse temperature, > 0.
    desirable_weight: w⁺; the paper keeps w⁺ n⁺ / (w⁻ n⁻) in [1, 4/3].
    undesirable_weight: w⁻.

  Returns:
    [...] losses between 0 and the weight, not averaged.

  Source: Ethayarajh et al. 2024 (KTO).
  """
  log_ratios = _log_ratios(policy_logps, reference_logps, desirable, kl)
  gains = beta * (log_ratios - jax.lax.stop_gradient(kl))
  value = jnp.where(desirable, jax.nn.sigmoid(gains), jax.nn.sigmoid(-gains))
  weights = jnp.where(desirable, desirable_weight, undesirable_weight)
  return weights * (1.0 - value)


def apo_zero_unpaired(
  policy_logps: chex.Array,
  reference_logps: chex.Array,
  desirable: chex.Array,
  *,
  beta: Positive,
  desirable_weight: NonNegative = 1.0,
  undesirable_weight: NonNegative = 1.0,
) -> chex.Array:
  """Anchored preference optimisation of single responses; one loss each.

  w⁺ (1 − σ(β ρ)) where desirable and w⁻ σ(β ρ) where not, with ρ the log-ratio
  of policy to reference.

  Args:
    beta: inverse temperature, > 0.
    desirable_weight: w⁺, as in `kto`.
    undesirable_weight: w⁻.

  Returns:
    [...] losses between 0 and the weight, not averaged.

  Source: D'Oosterlinck et al. 2024 (APO), APO-zero, its two terms apart; the
  weights are TRL's.
  """
  log_ratios = _log_ratios(policy_logps, reference_logps, desirable)
  signs = jnp.where(desirable, -1.0, 1.0)
  weights = jnp.where(desirable, desirable_weight, undesirable_weight)
  return weights * jax.nn.sigmoid(signs * beta * log_ratios)


@coupled
def bco(
  policy_logps: chex.Array,
  reference_logps: chex.Array,
  desirable: chex.Array,
  mean_log_ratio: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """Binary classifier optimisation; one loss per response.

  −log σ(β (ρ − δ)) where desirable and −log σ(−β (ρ − δ)) where not.

  Args:
    mean_log_ratio: [] δ, in nats: the mean of ρ over all responses so far, this
      batch's included; a constant.
    beta: inverse temperature, > 0.

  Returns:
    [...] losses in nats, not averaged.

  Source: Jung et al. 2024 (BCO); δ as a running mean, its released code.
  """
  log_ratios = _log_ratios(
    policy_logps, reference_logps, desirable, mean_log_ratio
  )
  gains = beta * (log_ratios - jax.lax.stop_gradient(mean_log_ratio))
  return -jax.nn.log_sigmoid(jnp.where(desirable, gains, -gains))


def _log_ratios(policy_logps, reference_logps, desirable, baseline=0.0):
  arrays = [policy_logps, reference_logps, desirable]
  chex.assert_type(arrays, [float, float, bool])
  chex.assert_equal_shape(arrays)
  chex.assert_rank(baseline, 0)
  return policy_logps - reference_logps
