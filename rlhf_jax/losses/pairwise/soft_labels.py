"""Pairwise objectives that read how much better the chosen response is.

Each draws the policy's probability that the chosen response is preferred,
p = σ(β Δ), or its log-odds β Δ, to a target q: mostly that of a reward model,
q = σ(η (r_w − r_l)). All but `dpo_soft_labels` are 0 where the target is met,
and so stop there, however clear the pair. Δ is as in kernels.pair_gaps.
"""

from typing import Annotated

import chex
import jax
import jax.numpy as jnp

from rlhf_jax.kernels import pair_gaps
from rlhf_jax.types.rules import NonNegative, Positive, Range


def exo_pair(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  *,
  beta: Positive,
  label_smoothing: Annotated[chex.Numeric, Range(above=0.0, below=0.5)],
) -> chex.Array:
  """Efficient exact optimisation of a pair: KL(p ‖ q), q = 1 − ε; per pair.

  p (log p − log(1 − ε)) + (1 − p) (log(1 − p) − log ε).

  Args:
    chosen_log_ratios: [...] of whole responses, in nats.
    rejected_log_ratios: [...].
    beta: inverse temperature, > 0.
    label_smoothing: ε, in (0, 0.5) and not 0, where the KL is infinite; 1e-3 is
      usual.

  Returns:
    [...] losses in nats, not averaged.

  Source: Ji et al. 2024 (EXO), eq. 16.
  """
  h = beta * pair_gaps.gaps(chosen_log_ratios, rejected_log_ratios)
  log_q = jnp.log1p(-jnp.asarray(label_smoothing, h.dtype))
  log_not_q = jnp.log(jnp.asarray(label_smoothing, h.dtype))
  return _kl(*_log_probs(h), log_q, log_not_q)


def rpo_sq(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  chosen_scores: chex.Array,
  rejected_scores: chex.Array,
  *,
  beta: Positive,
  reward_scale: NonNegative = 1.0,
) -> chex.Array:
  """Reward-aware preference optimisation by the squared error; per pair.

  (β Δ − η (r_w − r_l))².

  Args:
    chosen_log_ratios: [...] of whole responses, in nats.
    rejected_log_ratios: [...].
    chosen_scores: [...] a reward model's, in reward units.
    rejected_scores: [...].
    beta: inverse temperature, > 0.
    reward_scale: η, nats of log-odds for a unit of reward.

  Returns:
    [...] losses in nats squared, not averaged.

  Source: Sun et al. 2025 (RPO), "Reward-aware Preference Optimization";
  NeMo-Aligner's rpo_sq.
  """
  h = beta * pair_gaps.gaps(chosen_log_ratios, rejected_log_ratios)
  target = _target(h, chosen_scores, rejected_scores, reward_scale)
  return (h - target) ** 2


def rpo_forward_kl(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  chosen_scores: chex.Array,
  rejected_scores: chex.Array,
  *,
  beta: Positive,
  reward_scale: NonNegative = 1.0,
) -> chex.Array:
  """Reward-aware preference optimisation by KL(p ‖ q); one loss per pair.

  Arguments and result as those of `rpo_backward_kl`. Which KL is called the
  forward one is as in the source; this is the policy's from the target.

  Source: Sun et al. 2025 (RPO); NeMo-Aligner's rpo_fwd_kl.
  """
  h = beta * pair_gaps.gaps(chosen_log_ratios, rejected_log_ratios)
  target = _target(h, chosen_scores, rejected_scores, reward_scale)
  return _kl(*_log_probs(h), *_log_probs(target))


def rpo_backward_kl(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  chosen_scores: chex.Array,
  rejected_scores: chex.Array,
  *,
  beta: Positive,
  reward_scale: NonNegative = 1.0,
) -> chex.Array:
  """Reward-aware preference optimisation by KL(q ‖ p); one loss per pair.

  q (log q − log p) + (1 − q) (log(1 − q) − log(1 − p)).

  Args:
    chosen_log_ratios: [...] of whole responses, in nats.
    rejected_log_ratios: [...].
    chosen_scores: [...] a reward model's, in reward units.
    rejected_scores: [...].
    beta: inverse temperature, > 0.
    reward_scale: η, nats of log-odds for a unit of reward.

  Returns:
    [...] losses in nats, not averaged.

  Source: Adler et al. 2024 (Nemotron-4 340B), RPO; NeMo-Aligner's rpo_bwd_kl.
  """
  h = beta * pair_gaps.gaps(chosen_log_ratios, rejected_log_ratios)
  target = _target(h, chosen_scores, rejected_scores, reward_scale)
  return _kl(*_log_probs(target), *_log_probs(h))


def dpo_soft_labels(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  chosen_scores: chex.Array,
  rejected_scores: chex.Array,
  *,
  beta: Positive,
  reward_scale: NonNegative = 1.0,
) -> chex.Array:
  """DPO in expectation over a label drawn from the reward model; per pair.

  −q log p − (1 − q) log(1 − p), which is `rpo_backward_kl`, whose arguments it
  shares, plus the entropy of q: another value, the same gradient.

  Source: LMFlow's rev_kl. With one q for all pairs, Mitchell 2023, eq. 3.
  """
  h = beta * pair_gaps.gaps(chosen_log_ratios, rejected_log_ratios)
  target = _target(h, chosen_scores, rejected_scores, reward_scale)
  log_p, log_not_p = _log_probs(h)
  return -jax.nn.sigmoid(target) * log_p - jax.nn.sigmoid(-target) * log_not_p


def rpo_total_variation(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  chosen_scores: chex.Array,
  rejected_scores: chex.Array,
  *,
  beta: Positive,
  reward_scale: NonNegative = 1.0,
) -> chex.Array:
  """|p − q| [...], in [0, 1); arguments as those of `rpo_backward_kl`.

  Source: LMFlow's tv.
  """
  h = beta * pair_gaps.gaps(chosen_log_ratios, rejected_log_ratios)
  target = _target(h, chosen_scores, rejected_scores, reward_scale)
  excess = jax.nn.sigmoid(h) - jax.nn.sigmoid(target)
  # JAX gives |x| the gradient 1 at 0; sign(x) makes it 0, the target a rest.
  return excess * jax.lax.stop_gradient(jnp.sign(excess))


def rpo_hellinger(
  chosen_log_ratios: chex.Array,
  rejected_log_ratios: chex.Array,
  chosen_scores: chex.Array,
  rejected_scores: chex.Array,
  *,
  beta: Positive,
  reward_scale: NonNegative = 1.0,
) -> chex.Array:
  """The squared Hellinger distance [...] of p and q, in [0, 1).

  ½ (√p − √q)² + ½ (√(1 − p) − √(1 − q))². Arguments as those of
  `rpo_backward_kl`.

  Source: LMFlow's hellinger.
  """
  h = beta * pair_gaps.gaps(chosen_log_ratios, rejected_log_ratios)
  target = _target(h, chosen_scores, rejected_scores, reward_scale)
  return 0.5 * sum(
    # exp(½ log p), for the root of a p that underflows has no gradient.
    (jnp.exp(0.5 * log_p) - jnp.exp(0.5 * log_q)) ** 2
    for log_p, log_q in zip(_log_probs(h), _log_probs(target), strict=True)
  )


def _target(h, chosen_scores, rejected_scores, reward_scale):
  """η (r_w − r_l), the log-odds [...] that h is drawn to."""
  pair_gaps.alike(h, chosen_scores, rejected_scores)
  return reward_scale * (chosen_scores - rejected_scores)


def _log_probs(log_odds):
  """log p and log(1 − p) [...] of a yes, given its log-odds."""
  return jax.nn.log_sigmoid(log_odds), jax.nn.log_sigmoid(-log_odds)


def _kl(log_p, log_not_p, log_q, log_not_q):
  """KL(p ‖ q) [...] of two Bernoulli distributions."""
  yes = jnp.exp(log_p) * (log_p - log_q)
  return yes + jnp.exp(log_not_p) * (log_not_p - log_not_q)
