"""DPO under other divergences than the reverse KL.

A policy that maximises E[r] − β D_f(π ‖ π_ref) has r = β f′(π / π_ref), up to
what cancels within a pair. So each divergence has a reward of the log-ratio x =
log π(y) − log π_ref(y), and an objective, DPO's curve of the difference of two
of them: −log σ(β (g(u) − g(v))), u the chosen log-ratio and v the rejected one.
The reverse KL, g(x) = x, is `pairwise.dpo`.

Source: Wang et al. 2023 (f-DPO), "Beyond Reverse KL".
"""

import chex
import jax

from rlhf_jax.kernels import divergences, pair_gaps
from rlhf_jax.types.rules import Positive, Share


def forward_kl_rewards(log_ratio: chex.Array) -> chex.Array:
  """−exp(−x) [...]: f′(t) = −1 / t. It falls ever faster, and levels off at 0.

  Below x = −40 it goes on as its tangent (kernels.divergences).
  """
  return -divergences.tangent_exp(-log_ratio)


def jensen_shannon_rewards(log_ratio: chex.Array) -> chex.Array:
  """log σ(x) [...]: f′(t) = log(2 t / (1 + t)) less log 2, which cancels."""
  chex.assert_type(log_ratio, float)
  return jax.nn.log_sigmoid(log_ratio)


def alpha_rewards(log_ratio: chex.Array, *, alpha: Share) -> chex.Array:
  """(1 − exp(−α x)) / α [...]: f′(t) = (1 − t^−α) / α.

  Between the reverse KL's x (its limit, and its value, at α = 0) and the
  forward KL's (α = 1, less 1). Below α x = −40 it goes on as its tangent
  (kernels.divergences).
  """
  return divergences.power_transform(log_ratio, alpha)


def dpo_forward_kl(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """DPO under KL(π_ref ‖ π), which keeps all that the reference can say.

  −log σ(β (exp(−v) − exp(−u))).

  Args:
    chosen_log_ratios: u [...], in nats.
    rejected_log_ratios: v [...].
    beta: inverse temperature, > 0.

  Returns:
    [...] losses in nats, not averaged.

  Source: Wang et al. 2023, f-DPO with the forward KL.
  """
  u, v = pair_gaps.alike(chosen_log_ratios, rejected_log_ratios)
  return _logistic(forward_kl_rewards(u), forward_kl_rewards(v), beta)


def dpo_jensen_shannon(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """DPO under the Jensen–Shannon divergence.

  −log σ(β (log σ(u) − log σ(v))).

  Args:
    chosen_log_ratios: u [...], in nats.
    rejected_log_ratios: v [...].
    beta: inverse temperature, > 0.

  Returns:
    [...] losses in nats, not averaged.

  Source: Wang et al. 2023, f-DPO with the Jensen–Shannon divergence.
  """
  u, v = pair_gaps.alike(chosen_log_ratios, rejected_log_ratios)
  return _logistic(jensen_shannon_rewards(u), jensen_shannon_rewards(v), beta)


def dpo_alpha(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
  alpha: Share,
) -> chex.Array:
  """DPO under an α-divergence, between the reverse and the forward KL.

  −log σ(β (exp(−α v) − exp(−α u)) / α).

  Args:
    chosen_log_ratios: u [...], in nats.
    rejected_log_ratios: v [...].
    beta: inverse temperature, > 0.
    alpha: α in [0, 1], the paper's; 1 less TRL's coefficient. 0 is the limit,
      `pairwise.dpo`.

  Returns:
    [...] losses in nats, not averaged.

  Source: Wang et al. 2023, f-DPO with α-divergences.
  """
  u, v = pair_gaps.alike(chosen_log_ratios, rejected_log_ratios)
  return _logistic(
    alpha_rewards(u, alpha=alpha), alpha_rewards(v, alpha=alpha), beta
  )


def _logistic(chosen_rewards, rejected_rewards, beta):
  return -jax.nn.log_sigmoid(beta * (chosen_rewards - rejected_rewards))
