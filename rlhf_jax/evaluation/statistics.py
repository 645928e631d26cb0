"""Means with their errors: intervals, resampled groups, pooled runs.

All of it runs on the host in float64. `groups` [N] int says which rows belong
together (samples of one prompt): groups are independent, rows within one need
not be. Intervals are 95 %.

Values that are missing (NaN) are the caller's to leave out, and to count: a
statistic of them, or of no values, is refused.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

UPPER = 0.975  # Of the upper end of a 95 % interval.


class Estimate(NamedTuple):
  """A measured number, its standard error and its interval."""

  value: float
  standard_error: float
  low: float
  high: float


def known(values: np.ndarray) -> np.ndarray:
  """Values [...] in float64.

  Raises:
    ValueError: there are none, or one is not finite.
  """
  values = np.asarray(values, float)
  if not values.size:
    raise ValueError('there are no values to take a statistic of')
  missing = int(np.sum(~np.isfinite(values)))
  if missing:
    raise ValueError(
      f'{missing} of {values.size} values are not finite numbers, and a '
      'statistic of the others has to say so; leave them out first'
    )
  return values


def standard_error(values: np.ndarray, groups: np.ndarray) -> float:
  """Of the mean of values [N]; sd(ddof=1) / √N where every group is one row.

  With G groups: √(G / (G − 1) · Σ_g (Σ_{i∈g} vᵢ − v̄)²) / N. NaN for G < 2.
  """
  values = known(values)
  count = _group_count(groups)
  if count < 2:
    return float('nan')
  sums = np.bincount(groups, values - values.mean())
  return float(np.sqrt(count / (count - 1) * np.sum(sums**2)) / values.size)


def mean(values: np.ndarray, groups: np.ndarray) -> Estimate:
  """The mean of values [N]; Student's interval, G − 1 degrees of freedom."""
  value, error = float(np.mean(known(values))), standard_error(values, groups)
  degrees = max(_group_count(groups) - 1, 1)
  half = special.stdtrit(degrees, UPPER) * error
  return Estimate(value, error, value - half, value + half)


def wilson(
  share: float, count: float, *, quantile: float = 1.959964
) -> tuple[float, float]:
  """Score interval of a share of `count` yes-or-no trials.

  Args:
    share: in [0, 1].
    count: trials, above 0; an effective count need not be whole.
    quantile: how many standard errors wide to either side.

  Source: Wilson 1927.
  """
  if not count > 0:
    raise ValueError(f'a share of {count} trials has no interval')
  z2 = quantile**2 / count
  centre = (share + z2 / 2) / (1 + z2)
  half = np.sqrt(z2 * share * (1 - share) + z2**2 / 4) / (1 + z2)
  return max(float(centre - half), 0.0), min(float(centre + half), 1.0)


def share(credits: np.ndarray, groups: np.ndarray) -> Estimate:
  """The mean of credits [N] in [0, 1], with Wilson's interval.

  The interval takes the number of 0/1 trials that would have the standard
  error measured, 1 + w (1 − w) / SE²: ties make it narrower and samples that
  share a prompt wider, it never leaves [0, 1], and it has a width even if all
  were won. For 0/1 credits of distinct prompts it is Wilson's own. Where all
  credits are alike a prompt counts as one trial.
  """
  value = float(np.mean(known(credits)))
  error = standard_error(credits, groups)
  count = trials = _group_count(groups)
  if error > 0:
    trials = 1 + value * (1 - value) / error**2
  quantile = special.ndtri(UPPER)
  if 1 < count < np.size(credits):  # Several rows a group.
    quantile = special.stdtrit(count - 1, UPPER)
  return Estimate(value, error, *wilson(value, trials, quantile=quantile))


def resampled(groups: np.ndarray, *, seed: int, resamples: int):
  """Yields blocks [≤ 500, N]: how often each row is drawn in each resample."""
  places = np.unique(groups, return_inverse=True)[1]
  count = _group_count(groups)
  generator = np.random.default_rng(seed)
  for start in range(0, resamples, 500):
    draws = generator.multinomial(
      count, np.full(count, 1 / count), size=min(500, resamples - start)
    )
    yield draws[:, places].astype(float)


def bootstrapped(
  statistic: Callable[[np.ndarray], np.ndarray],
  groups: np.ndarray,
  *,
  resamples: int,
) -> Estimate:
  """A statistic of N rows; its error and interval are those of resamples.

  Of a single group there are none: NaN.

  Args:
    statistic: weights of the rows [F, N] -> [F] its values.
    groups: [N].
    resamples: of the groups, with replacement.
  """
  (value,) = statistic(np.ones((1, len(groups))))
  if _group_count(groups) < 2:
    return Estimate(float(value), *[float('nan')] * 3)
  blocks = resampled(groups, seed=0, resamples=resamples)
  draws = np.concatenate([statistic(weights) for weights in blocks])
  return Estimate(float(value), float(draws.std(ddof=1)), *percentiles(draws))


def percentiles(draws: np.ndarray) -> tuple[float, float]:
  """The two ends that leave 2.5 % of the draws outside each."""
  low, high = np.quantile(known(draws), [1 - UPPER, UPPER])
  return float(low), float(high)


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
  """[P] Spearman's ρ of each row of two arrays [P, K].

  Ties have their average rank. A place that is NaN in either is left out of its
  row; ρ is NaN of a row that is then constant in either.
  """
  missing = np.isnan(first) | np.isnan(second)
  first, second = (
    _centred_ranks(np.where(missing, np.nan, side)) for side in (first, second)
  )
  norms = np.sqrt((first**2).sum(1) * (second**2).sum(1))
  products = (first * second).sum(1)
  return np.divide(
    products, norms, out=np.full(len(norms), np.nan), where=norms > 0
  )


def _centred_ranks(values: np.ndarray) -> np.ndarray:
  """[P, K] average ranks in each row, less their mean; 0 of what is NaN.

  That is half of how many are below less how many are above.
  """
  above = np.sign(values[:, :, None] - values[:, None, :])
  return np.nan_to_num(above).sum(axis=2) / 2


def pool_crossed(cells: np.ndarray) -> Estimate:
  """The mean of cells [S, G]: S runs (seeds) on the same G prompts.

  Runs and prompts are both random, so with the mean squares of the two-way
  layout Var = (MS_prompts + max(MS_runs − MS_rest, 0)) / (S G), and Student's
  interval takes Satterthwaite's degrees of freedom. A percentile bootstrap of
  three seeds would end at the worst and the best of them, which hold the truth
  three times in four.
  """
  cells = known(cells)
  runs, count = cells.shape
  if min(runs, count) < 2:
    raise ValueError(
      f'{runs} runs on {count} prompts: a spread over both takes two of each'
    )
  value, by_run, by_prompt = cells.mean(), cells.mean(1), cells.mean(0)
  rest = cells - by_run[:, None] - by_prompt[None, :] + value
  ms_runs = count * by_run.var(ddof=1)
  ms_prompts = runs * by_prompt.var(ddof=1)
  ms_rest = np.sum(rest**2) / ((runs - 1) * (count - 1))
  spread = ms_prompts + max(ms_runs - ms_rest, 0.0)
  if spread == 0:
    return Estimate(float(value), 0.0, float(value), float(value))
  noise = (ms_runs**2 + ms_rest**2 / (count - 1)) / (runs - 1)
  # Never fewer than the smaller way of the layout has: the difference of two
  # mean squares may all but vanish, and its share of the noise would not.
  degrees = max(
    spread**2 / (noise + ms_prompts**2 / (count - 1)), min(runs, count) - 1
  )
  error = float(np.sqrt(spread / (runs * count)))
  half = special.stdtrit(degrees, UPPER) * error
  return Estimate(float(value), error, float(value - half), float(value + half))


def within_unit(estimate: Estimate) -> Estimate:
  """An estimate of a fraction, whose interval ends at 0 and 1 at the latest."""
  low, high = max(estimate.low, 0.0), min(estimate.high, 1.0)
  return estimate._replace(low=low, high=high)


def _group_count(groups):
  return np.unique(groups).size
