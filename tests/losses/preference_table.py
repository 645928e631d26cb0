"""The equations of the objectives over pairs, in float64 numpy."""

import functools

import numpy as np

from rlhf_jax.losses import pairwise
from rlhf_jax.losses.pairwise import (
  anchored,
  f_divergences,
  imitation,
  per_token,
  reference_free,
  soft_labels,
  transport,
)

BETA = 0.3
LOGPS = (
  'policy_chosen_logps',
  'policy_rejected_logps',
  'reference_chosen_logps',
  'reference_rejected_logps',
)


def with_log_ratios(offered):
  """The log-probs, and the log-ratios to the reference beside them."""
  policy_chosen, policy_rejected, *reference = (offered[n] for n in LOGPS)
  return offered | {
    'chosen_log_ratios': policy_chosen - reference[0],
    'rejected_log_ratios': policy_rejected - reference[1],
  }


class Pairs:
  """What an equation may speak of, in float64."""

  def __init__(self, offered):
    given = {name: np.asarray(x, np.float64) for name, x in offered.items()}
    self.w, self.l, self.ref_w, self.ref_l = (given[name] for name in LOGPS)
    self.u, self.v = self.w - self.ref_w, self.l - self.ref_l
    self.n_w, self.n_l = given['chosen_lengths'], given['rejected_lengths']
    self.gap = given['chosen_scores'] - given['rejected_scores']
    self.target = given['target_logps']


def prob(x):
  return 1.0 / (1.0 + np.exp(-x))


def smoothed(h, flipped):
  return -np.log(prob(h) ** (1.0 - flipped) * prob(-h) ** flipped)


def kl(p, q):
  return p * np.log(p / q) + (1.0 - p) * np.log((1.0 - p) / (1.0 - q))


def hellinger(p, q):
  return 1.0 - np.sqrt(p * q) - np.sqrt((1.0 - p) * (1.0 - q))


def discopop(h, tau):
  w = prob(h / tau)
  return (1.0 - w) * -np.log(prob(h)) + w * np.exp(-h)


def odds(mean_logp):
  return np.exp(mean_logp) / (1.0 - np.exp(mean_logp))


def or_loss(p):
  ratio = odds(p.w / p.n_w) / odds(p.l / p.n_l)
  return -np.log(ratio / (1.0 + ratio))


def bent(mean_logp, alpha):
  return (1.0 - np.exp(mean_logp) ** -alpha) / alpha


def sorted_gaps(a, b):
  return np.sort(a, axis=-1) - np.sort(b, axis=-1)


# Name: (objective, its options, the equation).
TABLE = {
  'dpo': (pairwise.dpo, {}, lambda p: -np.log(prob(BETA * (p.u - p.v)))),
  'dpo_smoothed': (
    pairwise.dpo,
    {'label_smoothing': 0.2},
    lambda p: smoothed(BETA * (p.u - p.v), 0.2),
  ),
  'dpo_with_likelihood': (
    imitation.dpo_with_likelihood,
    {'likelihood_coef': 0.7},
    lambda p: -np.log(prob(BETA * (p.u - p.v))) - 0.7 * p.w / p.n_w,
  ),
  'dpo_mean': (
    per_token.dpo_mean,
    {},
    lambda p: -np.log(prob(BETA * (p.u / p.n_w - p.v / p.n_l))),
  ),
  'robust_dpo': (
    pairwise.robust_dpo,
    {'flip_rate': 0.2},
    lambda p: (
      (
        -0.8 * np.log(prob(BETA * (p.u - p.v)))
        + 0.2 * np.log(prob(BETA * (p.v - p.u)))
      )
      / 0.6
    ),
  ),
  'discopop': (
    pairwise.discopop,
    {'tau': 0.5},
    lambda p: discopop(BETA * (p.u - p.v), 0.5),
  ),
  'ipo_sum': (
    pairwise.ipo_sum,
    {},
    lambda p: (p.u - p.v - 1.0 / (2.0 * BETA)) ** 2,
  ),
  'ipo_mean': (
    per_token.ipo_mean,
    {},
    lambda p: (p.u / p.n_w - p.v / p.n_l - 1.0 / (2.0 * BETA)) ** 2,
  ),
  'hinge_norm': (
    pairwise.hinge_norm,
    {},
    lambda p: np.maximum(0.0, 1.0 - BETA * (p.u - p.v)),
  ),
  'nca_pair': (
    anchored.nca_pair,
    {},
    lambda p: (
      -np.log(prob(BETA * p.u) * np.sqrt(prob(-BETA * p.u) * prob(-BETA * p.v)))
    ),
  ),
  'bco_pair': (
    anchored.bco_pair,
    {},
    lambda p: -np.log(prob(BETA * p.u) * prob(-BETA * p.v)),
  ),
  'chosen_only': (
    anchored.chosen_only,
    {},
    lambda p: -np.log(prob(BETA * p.u)),
  ),
  'sppo_hard': (
    anchored.sppo_hard,
    {},
    lambda p: (p.u - 1.0 / (2.0 * BETA)) ** 2 + (p.v + 1.0 / (2.0 * BETA)) ** 2,
  ),
  'apo_zero': (
    anchored.apo_zero,
    {},
    lambda p: 1.0 - prob(BETA * p.u) + prob(BETA * p.v),
  ),
  'apo_down': (
    anchored.apo_down,
    {},
    lambda p: prob(BETA * p.u) + 1.0 - prob(BETA * (p.u - p.v)),
  ),
  'aot': (
    transport.aot,
    {'label_smoothing': 0.1},
    lambda p: smoothed(BETA * sorted_gaps(p.w - p.l, p.ref_w - p.ref_l), 0.1),
  ),
  'aot_unpaired': (
    transport.aot_unpaired,
    {'label_smoothing': 0.1},
    lambda p: smoothed(BETA * sorted_gaps(p.u, p.v), 0.1),
  ),
  'dpo_forward_kl': (
    f_divergences.dpo_forward_kl,
    {},
    lambda p: -np.log(prob(BETA * (np.exp(-p.v) - np.exp(-p.u)))),
  ),
  'dpo_jensen_shannon': (
    f_divergences.dpo_jensen_shannon,
    {},
    lambda p: -np.log(prob(BETA * np.log(prob(p.u) / prob(p.v)))),
  ),
  'dpo_alpha': (
    f_divergences.dpo_alpha,
    {'alpha': 0.3},
    lambda p: (
      -np.log(prob(BETA * (np.exp(-0.3 * p.v) - np.exp(-0.3 * p.u)) / 0.3))
    ),
  ),
  'exo_pair': (
    soft_labels.exo_pair,
    {'label_smoothing': 0.01},
    lambda p: kl(prob(BETA * (p.u - p.v)), 0.99),
  ),
  'rpo_sq': (
    soft_labels.rpo_sq,
    {'reward_scale': 0.5},
    lambda p: (BETA * (p.u - p.v) - 0.5 * p.gap) ** 2,
  ),
  'rpo_forward_kl': (
    soft_labels.rpo_forward_kl,
    {'reward_scale': 0.5},
    lambda p: kl(prob(BETA * (p.u - p.v)), prob(0.5 * p.gap)),
  ),
  'rpo_backward_kl': (
    soft_labels.rpo_backward_kl,
    {'reward_scale': 0.5},
    lambda p: kl(prob(0.5 * p.gap), prob(BETA * (p.u - p.v))),
  ),
  'dpo_soft_labels': (
    soft_labels.dpo_soft_labels,
    {'reward_scale': 0.5},
    lambda p: smoothed(BETA * (p.u - p.v), prob(-0.5 * p.gap)),
  ),
  'rpo_total_variation': (
    soft_labels.rpo_total_variation,
    {},
    lambda p: np.abs(prob(BETA * (p.u - p.v)) - prob(p.gap)),
  ),
  'rpo_hellinger': (
    soft_labels.rpo_hellinger,
    {},
    lambda p: hellinger(prob(BETA * (p.u - p.v)), prob(p.gap)),
  ),
  'slic': (
    functools.partial(reference_free.slic, margin=2.0),
    {'likelihood_coef': 0.1, 'beta': None},
    lambda p: np.maximum(0.0, 2.0 - p.w + p.l) - 0.1 * p.target,
  ),
  'hinge': (
    reference_free.hinge,
    {},
    lambda p: np.maximum(0.0, 1.0 - BETA * (p.w - p.l)),
  ),
  'cpo': (
    reference_free.cpo,
    {'label_smoothing': 0.1, 'likelihood_coef': 0.5},
    lambda p: smoothed(BETA * (p.w - p.l), 0.1) - 0.5 * p.w,
  ),
  'odds_ratio': (reference_free.odds_ratio, {'beta': None}, or_loss),
  'orpo': (
    reference_free.orpo,
    {},
    lambda p: -p.w / p.n_w + BETA * or_loss(p),
  ),
  'simpo': (
    reference_free.simpo,
    {'gamma': 0.5, 'label_smoothing': 0.1},
    lambda p: smoothed(BETA * (p.w / p.n_w - p.l / p.n_l) - 0.5, 0.1),
  ),
  'alphapo': (
    reference_free.alphapo,
    {'gamma': 0.5, 'alpha': 0.25},
    lambda p: (
      -np.log(
        prob(BETA * (bent(p.w / p.n_w, 0.25) - bent(p.l / p.n_l, 0.25)) - 0.5)
      )
    ),
  ),
  'alphapo_negative': (
    reference_free.alphapo,
    {'gamma': 0.5, 'alpha': -2.0},
    lambda p: (
      -np.log(
        prob(BETA * (bent(p.w / p.n_w, -2.0) - bent(p.l / p.n_l, -2.0)) - 0.5)
      )
    ),
  ),
}
