"""How well a reward model ranks the two responses of a pair.

A pair's margin is the score of the better response less the worse one's, in
reward units; σ(margin) is the model's probability of being right.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from rlhf_jax.evaluation import calibration, statistics
from rlhf_jax.evaluation.calibration import Calibration
from rlhf_jax.evaluation.judges import credits_from_scores
from rlhf_jax.evaluation.samples import prompt_groups
from rlhf_jax.types import Prompt

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class LengthBias(NamedTuple):
  """Accuracy by length; None where there are no such pairs.

  Attributes:
    better_longer: accuracy on pairs whose better response is the longer.
    better_shorter: accuracy on pairs whose better response is the shorter.
    always_longer: accuracy of always choosing the longer, equal lengths ½.
    over_longer: the model's accuracy less that, of the same pairs.
  """

  better_longer: statistics.Estimate | None
  better_shorter: statistics.Estimate | None
  always_longer: statistics.Estimate
  over_longer: statistics.Estimate


class PairAccuracy(NamedTuple):
  """How many of some pairs were ranked rightly.

  Attributes:
    accuracy: share ordered rightly, equal scores ½.
    count: pairs.
  """

  accuracy: statistics.Estimate
  count: int


class PairMetrics(NamedTuple):
  """A reward model measured on N pairs.

  Attributes:
    accuracy: share of pairs ordered rightly, equal scores ½.
    log_loss: mean −log σ(margin), nats a pair.
    brier: mean (1 − σ(margin))².
    calibration_error: `calibration_error`.
    calibration_slope: `calibration_slope`.
    margin_mean: reward units.
    margin_sd: reward units.
    margin_quantiles: at 5, 25, 50, 75 and 95 %, reward units.
    count: N.
    lengths: accuracy by length, or None where lengths were not given.
    calibration: to how likely people prefer the better one, or None where that
      was not given.
    further: {name: of further pairs, made of the same policy's samples}.
  """

  accuracy: statistics.Estimate
  log_loss: float
  brier: float
  calibration_error: float
  calibration_slope: float
  margin_mean: float
  margin_sd: float
  margin_quantiles: tuple[float, ...]
  count: int
  lengths: LengthBias | None
  calibration: Calibration | None = None
  further: Mapping[str, PairAccuracy] = {}


class HeldOut(NamedTuple):
  """How a policy that learnt from pairs ranks held-out ones.

  Attributes:
    loss: its stage's, the mean over the pairs; NaN where the pairs lack what
      it reads.
    pairs: of its implicit rewards, log-ratios to the reference in nats.
  """

  loss: float
  pairs: PairMetrics


def measure(
  better: np.ndarray,
  worse: np.ndarray,
  *,
  prompts: Sequence[Prompt] | None = None,
  better_lengths: np.ndarray | None = None,
  worse_lengths: np.ndarray | None = None,
  preferred: np.ndarray | None = None,
) -> PairMetrics:
  """Measures scores of N pairs.

  Args:
    better: [N] scores of the responses known to be better, reward units.
    worse: [N] scores of the others.
    prompts: N prompts; pairs of an equal prompt are one cluster in the
      intervals. All pairs are independent where not given.
    better_lengths: [N] length of the better responses, in any unit.
    worse_lengths: [N] length of the others.
    preferred: [N] chances that people prefer the better responses.
  """
  better, worse = np.asarray(better, float), np.asarray(worse, float)
  if better.shape != worse.shape or not better.size:
    raise ValueError(
      f'scores of better {better.shape} and of worse {worse.shape} '
      'responses must be equally many, and at least one'
    )
  if not (np.isfinite(better).all() and np.isfinite(worse).all()):
    raise ValueError(
      'a reward model scored NaN or infinity; its accuracy means nothing'
    )
  margins = better - worse
  groups = np.arange(margins.size)
  if prompts is not None:
    groups = prompt_groups(prompts)
  credits = credits_from_scores(better, worse)
  lengths = None
  if better_lengths is not None:
    lengths = length_bias(credits, better_lengths, worse_lengths, groups)
  calibrated = None
  if preferred is not None:
    calibrated = calibration.measure(margins, preferred, groups)
  return PairMetrics(
    accuracy=statistics.share(credits, groups),
    log_loss=float(np.mean(-special.log_expit(margins))),
    brier=float(np.mean(special.expit(-margins) ** 2)),
    calibration_error=calibration_error(margins),
    calibration_slope=calibration_slope(margins),
    margin_mean=float(margins.mean()),
    margin_sd=float(margins.std(ddof=1)) if margins.size > 1 else np.nan,
    margin_quantiles=tuple(np.quantile(margins, QUANTILES).tolist()),
    count=margins.size,
    lengths=lengths,
    calibration=calibrated,
  )


def pair_accuracy(
  better: np.ndarray, worse: np.ndarray, prompts: Sequence[Prompt]
) -> PairAccuracy:
  """Of scores [N] of the better responses and of the others, to N prompts."""
  credits = credits_from_scores(better, worse)
  return PairAccuracy(
    statistics.share(credits, prompt_groups(prompts)), len(credits)
  )


def length_bias(
  credits: np.ndarray,
  better_lengths: np.ndarray,
  worse_lengths: np.ndarray,
  groups: np.ndarray,
) -> LengthBias:
  """Accuracy by which response is longer; credits, lengths, groups are [N]."""
  gaps = np.asarray(better_lengths, float) - np.asarray(worse_lengths, float)

  def accuracy(rows):
    if rows.any():
      return statistics.share(credits[rows], groups[rows])
    return None

  longer = np.where(gaps == 0, 0.5, gaps > 0)
  return LengthBias(
    better_longer=accuracy(gaps > 0),
    better_shorter=accuracy(gaps < 0),
    always_longer=statistics.share(longer, groups),
    over_longer=statistics.mean(credits - longer, groups),
  )


def reliability(margins: np.ndarray) -> np.ndarray:
  """[≤ 10, 3] confidence, accuracy and share of the pairs of each bin.

  A pair's order is arbitrary, so it is folded: the confidence is
  σ(|margin|), right if the margin is positive, half right at 0. Bins are
  those of `calibration.confidence_bins`.
  """
  margins = statistics.known(margins)
  confidences = special.expit(np.abs(margins))
  right = np.where(margins == 0, 0.5, margins > 0)
  places = calibration.confidence_bins(confidences)
  rows = [
    (
      confidences[places == b].mean(),
      right[places == b].mean(),
      np.mean(places == b),
    )
    for b in np.unique(places)
  ]
  return np.array(rows)


def calibration_error(margins: np.ndarray) -> float:
  """Expected calibration error: Σ share · |accuracy − confidence| over bins.

  Source: Guo et al. 2017, eq. 3, with bins of equal mass.
  """
  confidence, right, share = reliability(margins).T
  return float(np.sum(share * np.abs(right - confidence)))


def calibration_slope(margins: np.ndarray) -> float:
  """s for which σ(s · margin) is likeliest; 1 is calibrated, below 1 too sure.

  ±inf where every margin that is not 0 has the same sign; NaN where all are 0.
  """
  margins = statistics.known(margins)
  margins = margins[margins != 0]
  if not margins.size:
    return float('nan')
  if np.all(margins > 0) or np.all(margins < 0):
    return float(np.copysign(np.inf, margins[0]))

  def gradient(s):  # Of the log-likelihood; it falls from positive to negative.
    return np.mean(margins * special.expit(-s * margins))

  end = 1.0 / np.abs(margins).max()
  while gradient(end) > 0 or gradient(-end) < 0:
    end *= 2
  return float(optimize.brentq(gradient, -end, end))
