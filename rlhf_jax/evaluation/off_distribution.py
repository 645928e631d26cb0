"""How well a reward model orders samples of a policy it was not trained on.

P prompts have K samples each, and a gold reward says which of two is better.
Pairs are of one prompt and of different gold; prompts are the clusters of every
interval.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from rlhf_jax.evaluation import best_of_n, preference_accuracy, statistics
from rlhf_jax.evaluation.judges import credits_from_scores
from rlhf_jax.evaluation.statistics import Estimate


class Matched(NamedTuple):
  """An accuracy on pairs as hard as those of another policy.

  Attributes:
    accuracy: `matched_accuracy`'s.
    covered: share of the other policy's pairs whose bin has pairs here.
  """

  accuracy: Estimate
  covered: float


class PolicyPairs(NamedTuple):
  """A reward model measured on the samples of one policy.

  Attributes:
    accuracy: `accuracy`.
    matched: `matched_accuracy` over ten bins of equal mass.
    correlation: `within_prompt_correlation`.
    regret: `top_regret`, gold reward units.
    log_loss: of these pairs, as the three after it; see `preference_accuracy`.
    score_mean: of all samples, reward units; so too the next.
    count: pairs.
  """

  accuracy: Estimate
  matched: Matched
  correlation: Estimate
  regret: Estimate
  log_loss: float
  calibration_error: float
  calibration_slope: float
  margin_sd: float
  score_mean: float
  score_sd: float
  count: int


def measure(
  scores: np.ndarray, gold: np.ndarray, like_gold: np.ndarray
) -> PolicyPairs:
  """Measures the scores [P, K] of a policy's samples against their gold [P, K].

  Args:
    scores: the reward model's, reward units.
    gold: what was meant, gold reward units.
    like_gold: [P', K'] gold of the policy whose pairs the model was trained on,
      for the matched accuracy.
  """
  scores, gold = _samples(scores, gold)
  flat = scores.ravel()
  pairs = preference_accuracy.measure(*(flat[i] for i in own_pairs(gold)))
  edges = gap_edges(like_gold)
  return PolicyPairs(
    accuracy=accuracy(scores, gold),
    matched=matched_accuracy(scores, gold, like_gold, edges=edges),
    correlation=within_prompt_correlation(scores, gold),
    regret=top_regret(scores, gold),
    log_loss=pairs.log_loss,
    calibration_error=pairs.calibration_error,
    calibration_slope=pairs.calibration_slope,
    margin_sd=pairs.margin_sd,
    score_mean=float(scores.mean()),
    score_sd=float(scores.std(ddof=1)),
    count=pairs.count,
  )


def own_pairs(gold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Every pair of samples of one prompt whose gold [P, K] differs.

  Returns:
    better [M] and worse [M], int places in the flattened gold; prompt p's
    samples are those from pK on.

  Raises:
    ValueError: no two samples of any prompt differ.
  """
  (gold,) = _samples(gold)
  first, second = np.triu_indices(gold.shape[1], 1)
  gaps = gold[:, first] - gold[:, second]
  prompts, pairs = np.nonzero(gaps)
  if not prompts.size:
    raise ValueError('no two samples of a prompt differ in gold')
  start = prompts * gold.shape[1]
  one, other = start + first[pairs], start + second[pairs]
  first_is_better = gaps[prompts, pairs] > 0
  better, worse = np.where(first_is_better, (one, other), (other, one))
  return better, worse


def accuracy(scores: np.ndarray, gold: np.ndarray) -> Estimate:
  """Share of the pairs of [P, K] samples ordered rightly, equal scores ½.

  A prompt counts by its pairs, so those whose gold is all alike not at all.
  """
  return statistics.share(*_credits(scores, gold))


def difference(
  first_scores: np.ndarray, second_scores: np.ndarray, gold: np.ndarray
) -> Estimate:
  """The first model's accuracy less the second's on the same pairs.

  Args:
    first_scores: [P, K] of one reward model, and second_scores of the other,
      on the same samples.
    gold: [P, K] their gold.
  """
  first, groups = _credits(first_scores, gold)
  second, _ = _credits(second_scores, gold)
  return statistics.mean(first - second, groups)


def gap_edges(gold: np.ndarray, *, bins: int = 10) -> np.ndarray:
  """[≤ bins + 1] edges, from 0 to ∞, between which |Δ gold| of pairs lies.

  Bins hold equally many pairs of gold [P, K], except that equal gaps stay
  together; none is empty.
  """
  gaps = _gaps(gold)
  inner = np.quantile(gaps, np.arange(1, bins) / bins, method='higher')
  inner = np.unique(inner[inner > gaps.min()])
  return np.concatenate([[0.0], inner, [np.inf]])


def matched_accuracy(
  scores: np.ndarray,
  gold: np.ndarray,
  like_gold: np.ndarray,
  *,
  edges: np.ndarray,
) -> Matched:
  """The accuracy, were the gold gaps distributed as another policy's.

  Σ_b w_b · accuracy_b over bins b of |Δ gold|, w_b the share of the other
  policy's pairs in b: samples closer in quality make harder pairs, which alone
  would look like a worse model. Bins without pairs here are left out and the
  other weights scaled up. The interval, as of `statistics.share`, takes the
  weights as given.

  Args:
    scores: [P, K] reward model's scores of one policy's samples.
    gold: [P, K] their gold.
    like_gold: [P', K'] gold of the other policy's samples, in the same units.
    edges: [E] ascending; bins are [e_b, e_b+1), the last with its upper end.
      Pairs outside are in no bin.
  """
  credits, groups = _credits(scores, gold)
  bins, like_bins = _bins(gold, edges), _bins(like_gold, edges)
  every = np.arange(np.size(edges) - 1)
  held = np.isin(every, bins)
  shares = np.mean(like_bins[:, None] == every, axis=0) * held
  covered = float(shares.sum())
  if not covered:
    raise ValueError('no bin holds pairs of both policies; take wider ones')
  found = bins >= 0
  rows = credits[found], bins[found], groups[found]
  return Matched(_stratified(*rows, shares / covered), covered)


def within_prompt_correlation(scores: np.ndarray, gold: np.ndarray) -> Estimate:
  """Spearman's ρ of scores and gold [P, K], averaged over prompts.

  Ties have their average rank. Prompts whose scores, or whose gold, are all
  alike have no ρ and are left out; NaN where that leaves none.
  """
  correlations = statistics.spearman(*_samples(scores, gold))
  correlations = correlations[~np.isnan(correlations)]
  if not correlations.size:
    return Estimate(*[float('nan')] * 4)
  return statistics.mean(correlations, np.arange(correlations.size))


def top_regret(scores: np.ndarray, gold: np.ndarray) -> Estimate:
  """Gold lost by trusting the scores [P, K]: max gold − gold of the top score.

  In gold reward units, averaged over prompts; samples that tie for the highest
  score are chosen with equal chances.
  """
  scores, gold = _samples(scores, gold)
  chosen = best_of_n.expectation(scores, gold, gold.shape[1])
  return statistics.mean(gold.max(axis=1) - chosen, np.arange(len(gold)))


def _samples(*arrays):
  """The arrays in float64, refused where they are not of the same samples."""
  arrays = [np.asarray(array, float) for array in arrays]
  shapes = [array.shape for array in arrays]
  if len(set(shapes)) > 1 or len(shapes[0]) != 2 or shapes[0][1] < 2:
    raise ValueError(
      'scores and gold have to be [prompts, 2 samples or more] and alike; '
      f'these have shapes {", ".join(map(str, shapes))}'
    )
  if not all(np.isfinite(array).all() for array in arrays):
    raise ValueError('scores and gold have to be finite')
  return arrays


def _credits(scores, gold):
  """[M] 1 where the better scores higher, ½ where they tie; [M] the prompt."""
  scores, gold = _samples(scores, gold)
  better, worse = own_pairs(gold)
  credits = credits_from_scores(scores.ravel()[better], scores.ravel()[worse])
  return credits, better // gold.shape[1]


def _gaps(gold):
  """[M] how much better the better is, in gold reward units."""
  better, worse = own_pairs(gold)
  return np.ravel(gold)[better] - np.ravel(gold)[worse]


def _bins(gold, edges):
  """[M] the bin of each pair's gap, −1 for none."""
  gaps, edges = _gaps(gold), np.asarray(edges, float)
  if edges.ndim != 1 or edges.size < 2 or not np.all(np.diff(edges) > 0):
    raise ValueError(f'edges have to ascend, two or more of them: {edges}')
  places = np.searchsorted(edges, gaps, side='right') - 1
  places = np.where(gaps == edges[-1], edges.size - 2, places)
  return np.where(gaps > edges[-1], -1, places)


def _stratified(credits, strata, groups, weights):
  """Σ_b w_b · mean credit of stratum b, with its error and interval.

  The error is of the linearised estimate, whose rows are
  N w_b / n_b · (credit − mean_b): a stratum's size is random too.
  """
  sizes = np.maximum(np.bincount(strata, minlength=weights.size), 1)
  means = np.bincount(strata, credits, minlength=weights.size) / sizes
  value = float(weights @ means)
  rows = credits.size * (weights / sizes)[strata] * (credits - means[strata])
  error = statistics.standard_error(rows, groups)
  count = np.unique(groups).size
  # Not `share` of value + rows: where no row differs, rounding would pass for
  # a tiny error and leave the interval no width.
  trials = 1 + value * (1 - value) / error**2 if error > 0 else count
  quantile = special.stdtrit(max(count - 1, 1), 0.975)
  ends = statistics.wilson(value, trials, quantile=quantile)
  return Estimate(value, error, *ends)
