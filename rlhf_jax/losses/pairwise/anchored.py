"""Pairwise objectives in which each response counts by itself.

DPO rewards a difference, which grows as well when both responses become less
probable than they were. These look at the log-ratio of the chosen response,
u = log π(y_w) − log π_ref(y_w), and at v, that of the rejected one, each
against the reference at 0.
"""

import chex
import jax

from rlhf_jax.kernels import pair_gaps
from rlhf_jax.types.rules import Positive


def nca_pair(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """Noise contrastive alignment of a pair; one loss per pair.

  −log σ(β u) − ½ log σ(−β u) − ½ log σ(−β v). Least at finite u, unlike DPO.

  Args:
    chosen_log_ratios: u [...], in nats.
    rejected_log_ratios: v [...].
    beta: inverse temperature, > 0.

  Returns:
    [...] losses in nats, not averaged.

  Source: Chen et al. 2024 (NCA), "Noise Contrastive Alignment of Language
  Models with Explicit Rewards", its pairwise preference form.
  """
  u, v = pair_gaps.alike(chosen_log_ratios, rejected_log_ratios)
  as_noise = jax.nn.log_sigmoid(-beta * u) + jax.nn.log_sigmoid(-beta * v)
  return -jax.nn.log_sigmoid(beta * u) - 0.5 * as_noise


def bco_pair(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """Binary classification of both responses by their log-ratio; per pair.

  −log σ(β u) − log σ(−β v). No reward shift: the threshold is the reference.

  Args:
    chosen_log_ratios: u [...], in nats.
    rejected_log_ratios: v [...].
    beta: inverse temperature, > 0.

  Returns:
    [...] losses in nats, not averaged.

  Source: Jung et al. 2024 (BCO), "Binary Classifier Optimization for Large
  Language Model Alignment", with the paper's shift δ at 0.
  """
  u, v = pair_gaps.alike(chosen_log_ratios, rejected_log_ratios)
  return -jax.nn.log_sigmoid(beta * u) - jax.nn.log_sigmoid(-beta * v)


def chosen_only(chosen_log_ratios: chex.Array, *, beta: Positive) -> chex.Array:
  """−log σ(β u): imitation that fades once the reference is left behind.

  Args:
    chosen_log_ratios: u [...], in nats.
    beta: inverse temperature, > 0.

  Returns:
    [...] losses in nats, not averaged.

  Source: LMFlow's cross_entropy; the chosen half of `bco_pair`.
  """
  chex.assert_type(chosen_log_ratios, float)
  return -jax.nn.log_sigmoid(beta * chosen_log_ratios)


def sppo_hard(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """Self-play preference optimisation with win rates of 1 and 0; per pair.

  (u − 1 / (2 β))² + (v + 1 / (2 β))².

  Args:
    chosen_log_ratios: u [...], to the policy before this round, in nats.
    rejected_log_ratios: v [...].
    beta: 1 / η of the paper, > 0.

  Returns:
    [...] losses in nats squared, not averaged.

  Source: Wu et al. 2024 (SPPO), eq. 4.7, its probabilities taken as 1 and 0.
  """
  u, v = pair_gaps.alike(chosen_log_ratios, rejected_log_ratios)
  target = 0.5 / beta
  return (u - target) ** 2 + (v + target) ** 2


def apo_zero(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """Anchored preference optimisation: chosen up, rejected down; per pair.

  σ(−β u) + σ(β v). For chosen responses better than the policy's own.

  Args:
    chosen_log_ratios: u [...], in nats.
    rejected_log_ratios: v [...].
    beta: inverse temperature, > 0.

  Returns:
    [...] losses in (0, 2), without unit, not averaged.

  Source: D'Oosterlinck et al. 2024 (APO), eq. 7.
  """
  u, v = pair_gaps.alike(chosen_log_ratios, rejected_log_ratios)
  return jax.nn.sigmoid(-beta * u) + jax.nn.sigmoid(beta * v)


def apo_down(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """Anchored preference optimisation: both down, rejected more; per pair.

  σ(β u) + σ(−β (u − v)). For chosen responses worse than the policy's own.

  Args:
    chosen_log_ratios: u [...], in nats.
    rejected_log_ratios: v [...].
    beta: inverse temperature, > 0.

  Returns:
    [...] losses in (0, 2), without unit, not averaged.

  Source: D'Oosterlinck et al. 2024 (APO), eq. 8.
  """
  u, v = pair_gaps.alike(chosen_log_ratios, rejected_log_ratios)
  return jax.nn.sigmoid(beta * u) + jax.nn.sigmoid(-beta * (u - v))
