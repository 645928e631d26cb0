"""DPO, and what changes its curve alone.

All of this depends on Δ alone, the gap between the log-ratios of a pair's whole
responses (kernels.pair_gaps).
"""

import chex
import jax

from rlhf_jax.kernels import divergences, pair_gaps
from rlhf_jax.types.rules import Positive, Smoothing


def dpo(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  reference_chosen_logps: chex.Array,
  reference_rejected_logps: chex.Array,
  *,
  beta: Positive,
  label_smoothing: Smoothing = 0.0,
) -> chex.Array:
  """Direct preference optimisation; one loss per pair.

  −(1 − ε) log σ(β Δ) − ε log σ(−β Δ), where ε is the smoothing. RSO calls it
  sigmoid-norm.

  Args:
    policy_chosen_logps: [...] log-prob of the whole response, in nats.
    policy_rejected_logps: [...] likewise; so too the reference's two.
    reference_chosen_logps: [...].
    reference_rejected_logps: [...].
    beta: inverse temperature, > 0; larger stays closer to the reference.
    label_smoothing: share of pairs assumed mislabelled, in [0, 0.5). Above 0
      the loss is least at β Δ = log((1 − ε) / ε), and not at infinity.

  Returns:
    [...] losses in nats, not averaged.

  Source: Rafailov et al. 2023, eq. 7; smoothing, Mitchell 2023, eq. 3.
  """
  pair_gaps.alike(
    policy_chosen_logps,
    policy_rejected_logps,
    reference_chosen_logps,
    reference_rejected_logps,
  )
  chosen = policy_chosen_logps - reference_chosen_logps
  rejected = policy_rejected_logps - reference_rejected_logps
  return smoothed_logistic(beta * (chosen - rejected), label_smoothing)


def robust_dpo(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
  flip_rate: Smoothing,
) -> chex.Array:
  """DPO whose mean over flipped labels is that of DPO over clean ones.

  (−(1 − ε) log σ(β Δ) + ε log σ(−β Δ)) / (1 − 2 ε). Unlike smoothing it
  subtracts the flipped term, and has no lower bound.

  Args:
    chosen_log_ratios: [...] of whole responses, in nats.
    rejected_log_ratios: [...].
    beta: inverse temperature, > 0.
    flip_rate: ε, share of pairs whose order is wrong, in [0, 0.5); past 0.3 the
      variance is large.

  Returns:
    [...] losses in nats, of either sign, not averaged.

  Source: Chowdhury et al. 2024, "Provably Robust DPO" (rDPO).
  """
  gaps = pair_gaps.gaps(chosen_log_ratios, rejected_log_ratios)
  as_labelled = -jax.nn.log_sigmoid(beta * gaps)
  flipped = -jax.nn.log_sigmoid(-beta * gaps)
  unbiased = (1.0 - flip_rate) * as_labelled - flip_rate * flipped
  return unbiased / (1.0 - 2.0 * flip_rate)


def ipo_sum(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """Identity preference optimisation; one loss per pair.

  (Δ − 1 / (2 β))²: Δ has a target, which more of it overshoots.

  Args:
    chosen_log_ratios: [...] of whole responses, in nats.
    rejected_log_ratios: [...].
    beta: the paper's τ, > 0; the target in nats is 1 / (2 β).

  Returns:
    [...] losses in nats squared, not averaged.

  Source: Azar et al. 2023 (IPO), eq. 17; on sums, as the released codes of DPO
  and OpenRLHF have it.
  """
  gaps = pair_gaps.gaps(chosen_log_ratios, rejected_log_ratios)
  return (gaps - 0.5 / beta) ** 2


def hinge_norm(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """SLiC's hinge on log-ratios to a reference; one loss per pair.

  max(0, 1 − β Δ), without gradient once Δ ≥ 1 / β. "Norm" is by the reference,
  not by length; without either, `reference_free.hinge`.

  Args:
    chosen_log_ratios: [...] of whole responses, in nats.
    rejected_log_ratios: [...].
    beta: RSO's γ, > 0: the margin in nats is 1 / β.

  Returns:
    [...] losses, not averaged.

  Source: Liu et al. 2024 (RSO), hinge-norm.
  """
  gaps = pair_gaps.gaps(chosen_log_ratios, rejected_log_ratios)
  return jax.nn.relu(1.0 - beta * gaps)


def discopop(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
  tau: Positive,
) -> chex.Array:
  """A logistic curve that turns exponential as Δ grows; one loss per pair.

  −(1 − w) log σ(h) + w exp(−h) with h = β Δ and w = σ(h / τ). Not convex: a
  small bump near h = 0 lets some pairs stay unlearnt.

  Args:
    chosen_log_ratios: [...] of whole responses, in nats.
    rejected_log_ratios: [...].
    beta: inverse temperature, > 0.
    tau: how wide the change from one curve to the other is; 0.05 in the paper.

  Returns:
    [...] losses, not averaged.

  Source: Lu et al. 2024 (DiscoPOP), eq. 5.
  """
  h = beta * pair_gaps.gaps(chosen_log_ratios, rejected_log_ratios)
  logistic = -jax.nn.sigmoid(-h / tau) * jax.nn.log_sigmoid(h)
  # In one exponent: as h falls w falls faster than exp(−h) rises, and 0 · ∞.
  exponential = divergences.tangent_exp(jax.nn.log_sigmoid(h / tau) - h)
  return logistic + exponential


def smoothed_logistic(
  h: chex.Array, label_smoothing: chex.Numeric = 0.0
) -> chex.Array:
  """−(1 − ε) log σ(h) − ε log σ(−h) [...], in nats: a label that may be wrong.

  Source: Mitchell 2023, eq. 3.
  """
  as_labelled = (1.0 - label_smoothing) * jax.nn.log_sigmoid(h)
  flipped = label_smoothing * jax.nn.log_sigmoid(-h)
  return -as_labelled - flipped
