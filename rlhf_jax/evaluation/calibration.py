"""Whether a reward model is as sure of a pair as people are of it.

A pair's margin m is the score of one response less the other's, in reward
units; σ(m) is the model's chance that the first is preferred, and p the chance
that it is, by whoever prefers. The order of a pair is arbitrary, so pairs are
folded to where the model is sure: its confidence is σ(|m|), and it is right
with chance p where m > 0, 1 − p where m < 0, and ½ at 0.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from rlhf_jax.evaluation import statistics
from rlhf_jax.evaluation.statistics import Estimate

BINS = 10


class Calibration(NamedTuple):
  """A reward model held to chances of being preferred.

  Attributes:
    error: `error`.
    brier: `brier`.
  """

  error: Estimate
  brier: Estimate


def measure(
  margins: np.ndarray, preferred: np.ndarray, groups: np.ndarray
) -> Calibration:
  """Both measures of N pairs.

  Args:
    margins: [N] reward units.
    preferred: [N] chances in [0, 1]; without doubt, 0 and 1.
    groups: [N] int, pairs of one prompt in one group.

  Raises:
    ValueError: a chance is none.
  """
  preferred = statistics.known(preferred)
  if np.any((preferred < 0) | (preferred > 1)):
    raise ValueError('chances of being preferred must lie in [0, 1]')
  return Calibration(
    error(margins, preferred, groups), brier(margins, preferred, groups)
  )


def brier(
  margins: np.ndarray, preferred: np.ndarray, groups: np.ndarray
) -> Estimate:
  """Expected (σ(m) − y)² of a verdict y, 1 with chance p and else 0.

  (σ(m) − p)² + p (1 − p), averaged; the second part no model can mend.

  Source: Brier 1950, of two outcomes and not halved: for one of them.
  """
  chances = special.expit(statistics.known(margins))
  off = (chances - preferred) ** 2 + preferred * (1 - preferred)
  return statistics.mean(off, groups)


def error(
  margins: np.ndarray, preferred: np.ndarray, groups: np.ndarray
) -> Estimate:
  """Expected calibration error: Σ share · |right − confidence| over bins.

  The interval takes the bins, and in which of them the model is too sure, as
  given: then it is that of a mean over pairs.

  Source: Guo et al. 2017, eq. 3, with `confidence_bins`.
  """
  margins = statistics.known(margins)
  confidences = special.expit(np.abs(margins))
  right = 0.5 + np.sign(margins) * (np.asarray(preferred) - 0.5)
  gaps, places = right - confidences, confidence_bins(confidences)
  signs = np.sign(np.bincount(places, gaps))
  return statistics.within_unit(statistics.mean(signs[places] * gaps, groups))


def confidence_bins(confidences: np.ndarray) -> np.ndarray:
  """[N] int, which of BINS each of N confidences is in.

  Bins hold equally many, except that equal ones stay together.
  """
  inner = np.quantile(confidences, np.arange(1, BINS) / BINS, method='higher')
  return np.searchsorted(np.unique(inner), confidences, side='right')
