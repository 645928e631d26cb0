"""Pairwise objectives that need no reference, the preferred response first.

What a frozen reference does in DPO, a likelihood term does in some of these,
and a division by the length in others; where there are both, the function holds
both. S is the log-prob of a whole response in nats, n its tokens.
"""

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import divergences, length_bias, pair_gaps
from rlhf_jax.losses.pairwise import curves
from rlhf_jax.types.rules import Finite, NonNegative, Positive, Smoothing

# Per token, of what is all but certain: odds of a million to one.
_MOST_CERTAIN_LOGP = -1e-6


def slic(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  target_logps: chex.Array,
  *,
  margin: NonNegative = 1.0,
  likelihood_coef: NonNegative,
) -> chex.Array:
  """Sequence likelihood calibration, held by a response to imitate; per pair.

  max(0, δ − S_w + S_l) + λ (−S_target). Sums, neither over a length nor over a
  reference: long pairs reach the margin soon, and then only imitation is left.

  Args:
    policy_chosen_logps: [...] of whole responses, in nats.
    policy_rejected_logps: [...].
    target_logps: [...] of the response to imitate, a demonstration of the
      prompt or its best candidate.
    margin: δ in nats; 1 in the paper.
    likelihood_coef: λ ≥ 0.

  Returns:
    [...] losses in nats, not averaged.

  Source: Zhao et al. 2023 (SLiC-HF), eq. 2 and 4, which name the margin β and
  δ.
  """
  pair_gaps.alike(policy_chosen_logps, policy_rejected_logps, target_logps)
  shortfall = margin - policy_chosen_logps + policy_rejected_logps
  return jax.nn.relu(shortfall) - likelihood_coef * target_logps


def hinge(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  *,
  beta: Positive,
) -> chex.Array:
  """SLiC's ranking term in units of its margin; one loss per pair.

  max(0, 1 − β (S_w − S_l)), which is `slic` with δ = 1 / β and λ = 0, times β.

  Args:
    policy_chosen_logps: [...] of whole responses, in nats.
    policy_rejected_logps: [...].
    beta: RSO's γ, > 0: the margin in nats is 1 / β.

  Returns:
    [...] losses, not averaged.

  Source: Liu et al. 2024 (RSO), hinge.
  """
  gaps = pair_gaps.gaps(policy_chosen_logps, policy_rejected_logps)
  return jax.nn.relu(1.0 - beta * gaps)


def cpo(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  *,
  beta: Positive,
  likelihood_coef: NonNegative = 1.0,
  label_smoothing: Smoothing = 0.0,
) -> chex.Array:
  """Contrastive preference optimisation; one loss per pair.

  −(1 − ε) log σ(β (S_w − S_l)) − ε log σ(−β (S_w − S_l)) + λ (−S_w): DPO under
  a uniform reference, and the likelihood of what is preferred.

  Args:
    policy_chosen_logps: [...] of whole responses, in nats.
    policy_rejected_logps: [...].
    beta: inverse temperature, > 0.
    likelihood_coef: λ ≥ 0, 1 in the paper.
    label_smoothing: ε, in [0, 0.5).

  Returns:
    [...] losses in nats, not averaged.

  Source: Xu et al. 2024 (CPO), eq. 3 and the likelihood term beside it; TRL
  averages that term over the batch's tokens, and not over its responses.
  """
  gaps = pair_gaps.gaps(policy_chosen_logps, policy_rejected_logps)
  preference = curves.smoothed_logistic(beta * gaps, label_smoothing)
  return preference - likelihood_coef * policy_chosen_logps


def odds_ratio(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  chosen_lengths: chex.Array,
  rejected_lengths: chex.Array,
) -> chex.Array:
  """ORPO's ranking term; one loss per pair.

  −log σ(log(odds_w / odds_l)), odds = p̄ / (1 − p̄), p̄ = exp(S / n). The odds of
  what is all but certain are held at a million, beyond which, and for an empty
  response, there is no gradient.

  Args:
    policy_chosen_logps: [...] of whole responses, in nats: sums, not means.
    policy_rejected_logps: [...].
    chosen_lengths: [...] tokens of the chosen response, as floats.
    rejected_lengths: [...].

  Returns:
    [...] losses in nats, not averaged.

  Source: Hong et al. 2024 (ORPO), eq. 4 and 7.
  """
  chosen = length_bias.mean_logps(policy_chosen_logps, chosen_lengths)
  rejected = length_bias.mean_logps(policy_rejected_logps, rejected_lengths)
  log_odds_ratios = pair_gaps.gaps(_log_odds(chosen), _log_odds(rejected))
  return -jax.nn.log_sigmoid(log_odds_ratios)


def orpo(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  chosen_lengths: chex.Array,
  rejected_lengths: chex.Array,
  *,
  beta: NonNegative,
) -> chex.Array:
  """Odds ratio preference optimisation: imitation and ranking; per pair.

  −S_w / n_w + β times `odds_ratio`.

  Args:
    policy_chosen_logps: [...] of whole responses, in nats: sums, not means.
    policy_rejected_logps: [...].
    chosen_lengths: [...] tokens of the chosen response, as floats.
    rejected_lengths: [...].
    beta: the paper's λ ≥ 0.

  Returns:
    [...] losses in nats, per token, not averaged.

  Source: Hong et al. 2024 (ORPO), eq. 6; TRL's likelihood term counts the
  prompt's tokens too, and averages over the batch's tokens.
  """
  ranking = odds_ratio(
    policy_chosen_logps, policy_rejected_logps, chosen_lengths, rejected_lengths
  )
  imitation = -length_bias.mean_logps(policy_chosen_logps, chosen_lengths)
  return imitation + beta * ranking


def simpo(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  chosen_lengths: chex.Array,
  rejected_lengths: chex.Array,
  *,
  beta: Positive,
  gamma: NonNegative,
  label_smoothing: Smoothing = 0.0,
) -> chex.Array:
  """Simple preference optimisation: log-probs per token and a margin; per pair.

  −(1 − ε) log σ(h) − ε log σ(−h), h = β (S_w / n_w − S_l / n_l) − γ.

  Args:
    policy_chosen_logps: [...] of whole responses, in nats: sums, not means.
    policy_rejected_logps: [...].
    chosen_lengths: [...] tokens of the chosen response, as floats.
    rejected_lengths: [...].
    beta: scale of the reward, 2 to 10 in the paper.
    gamma: margin of the rewards, so after β has been multiplied in, as in the
      paper and TRL; the released code is given γ / β instead.
    label_smoothing: ε, in [0, 0.5).

  Returns:
    [...] losses in nats, not averaged.

  Source: Meng et al. 2024 (SimPO), eq. 6; the smoothing is the released code's.
  """
  gaps = pair_gaps.mean_gaps(
    policy_chosen_logps, policy_rejected_logps, chosen_lengths, rejected_lengths
  )
  return curves.smoothed_logistic(beta * gaps - gamma, label_smoothing)


def alphapo(
  policy_chosen_logps: chex.Array,
  policy_rejected_logps: chex.Array,
  chosen_lengths: chex.Array,
  rejected_lengths: chex.Array,
  *,
  beta: Positive,
  gamma: NonNegative,
  alpha: Finite,
  label_smoothing: Smoothing = 0.0,
) -> chex.Array:
  """SimPO with rewards bent by a power; one loss per pair.

  As `simpo`, the reward (1 − p̄^−α) / α in place of log p̄, p̄ = exp(S / n). With
  α > 0 it falls ever faster as p̄ does, with α < 0 it levels off.

  Args:
    policy_chosen_logps: [...] of whole responses, in nats: sums, not means.
    policy_rejected_logps: [...].
    chosen_lengths: [...] tokens of the chosen response, as floats.
    rejected_lengths: [...].
    beta: scale of the reward.
    gamma: margin of the rewards, after β has been multiplied in.
    alpha: α; 0 is the limit, `simpo`.
    label_smoothing: ε, in [0, 0.5).

  Returns:
    [...] losses in nats, not averaged.

  Source: Gupta et al. 2025 (AlphaPO), with TRL's convention for the margin.
  """
  chosen = length_bias.mean_logps(policy_chosen_logps, chosen_lengths)
  rejected = length_bias.mean_logps(policy_rejected_logps, rejected_lengths)
  gaps = pair_gaps.gaps(
    divergences.power_transform(chosen, alpha),
    divergences.power_transform(rejected, alpha),
  )
  return curves.smoothed_logistic(beta * gaps - gamma, label_smoothing)


def _log_odds(logps):
  """log(p / (1 − p)) [...] of probabilities given by their logs, bounded."""
  logps = jnp.minimum(logps, _MOST_CERTAIN_LOGP)
  return logps - jnp.log(-jnp.expm1(logps))
