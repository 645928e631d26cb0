"""Reward against distance from where a policy started: over-optimisation.

The distance is d = √KL(policy ‖ start), KL in nats per response. What the
policy is trained on (the score) keeps rising with d; what was meant (gold)
turns over.

Source: Gao, Schulman & Hilton 2022, whose forms are fitted here.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from rlhf_jax.evaluation import statistics

SMALLEST = 0.1  # √nats.


class RewardCurve(NamedTuple):
  """Checkpoints of one policy, in the order they were made.

  Attributes:
    steps: [C] training steps; or n, for the best of n.
    kl: [C] nats per response from the starting policy.
    score: [C] mean score of the learnt reward model.
    gold: [C] mean gold reward, or None where no truth is known.
  """

  steps: np.ndarray
  kl: np.ndarray
  score: np.ndarray
  gold: np.ndarray | None = None

  @property
  def distances(self) -> np.ndarray:
    """[C] √KL; an estimate of KL below 0 counts as 0."""
    return np.sqrt(np.maximum(self.kl, 0.0))

  def where_finite(self, *fields: str) -> 'RewardCurve':
    """The checkpoints at which all of these fields are finite numbers."""
    kept = np.ones(len(self.steps), bool)
    for field in fields:
      kept &= np.isfinite(np.asarray(getattr(self, field), float))
    return RewardCurve(
      *(None if v is None else np.asarray(v, float)[kept] for v in self)
    )


class Fit(NamedTuple):
  """A fitted form; peak and height are NaN where it does not turn over.

  Attributes:
    alpha: reward per unit of distance at the outset.
    beta: how fast that is lost.
    peak: the distance at which the reward is highest.
    height: the reward there, above the starting policy's.
    residual: root mean square of what the form leaves unexplained.
  """

  alpha: float
  beta: float
  peak: float
  height: float
  residual: float


def fit_best_of_n(distances: np.ndarray, gold: np.ndarray) -> Fit:
  """Least squares of R = d (α − β d): peak at α / 2β, height α² / 4β.

  Args:
    distances: [C] √KL.
    gold: [C] gold reward less the starting policy's.
  """
  distances = np.asarray(distances, float)
  alpha, beta, residual = _solve(distances, distances, gold)
  if alpha > 0 and beta > 0:
    peak, height = alpha / (2 * beta), alpha**2 / (4 * beta)
    return Fit(alpha, beta, peak, height, residual)
  return Fit(alpha, beta, np.nan, np.nan, residual)


def fit_reinforcement(distances: np.ndarray, gold: np.ndarray) -> Fit:
  """Least squares of R = d (α − β log d): peak at exp(α/β − 1), height β d*.

  Args:
    distances: [C] √KL.
    gold: [C] gold reward less the starting policy's. Checkpoints nearer than
      SMALLEST are left out, since the form's slope at 0 is infinite.
  """
  distances, gold = np.asarray(distances, float), np.asarray(gold, float)
  kept = distances >= SMALLEST
  distances, gold = distances[kept], gold[kept]
  alpha, beta, residual = _solve(distances, np.log(distances), gold)
  if beta > 0:
    peak = float(np.exp(alpha / beta - 1))
    return Fit(alpha, beta, peak, beta * peak, residual)
  return Fit(alpha, beta, np.nan, np.nan, residual)


def _solve(distances, decay, gold):
  """α, β and the residual of gold = d (α − β · decay), no intercept."""
  if distances.size < 2:
    raise ValueError('a curve of two numbers needs at least two checkpoints')
  if not (np.isfinite(distances).all() and np.isfinite(gold).all()):
    raise ValueError(
      'a curve is fitted to finite numbers; leave out checkpoints without gold'
    )
  features = np.stack([distances, -distances * decay], axis=1)
  solution = np.linalg.lstsq(features, gold, rcond=None)[0]
  errors = features @ solution - gold
  residual = np.sqrt(np.mean(errors**2))
  return float(solution[0]), float(solution[1]), float(residual)


class MatchedGold(NamedTuple):
  """Two policies' gold reward at the same KL, over what both reached.

  Attributes:
    kl: [M] nats per response at which either has a checkpoint.
    first: [M] gold of the first policy there.
    second: [M] gold of the second.
    gap: first − second, averaged over the distance √KL: the difference of the
      areas under both curves, divided by how far they go together.
  """

  kl: np.ndarray
  first: np.ndarray
  second: np.ndarray
  gap: float


def gold_at(curve: RewardCurve, distances: np.ndarray) -> np.ndarray:
  """Gold at distances [M], straight lines between checkpoints sorted by KL.

  NaN outside the distances that the policy reached.
  """
  order = np.argsort(curve.distances, kind='stable')
  gold = np.asarray(curve.gold, float)[order]
  return np.interp(
    distances, curve.distances[order], gold, left=np.nan, right=np.nan
  )


def matched_gold(first: RewardCurve, second: RewardCurve) -> MatchedGold:
  """Compares two policies where both have been, not at their end points.

  Checkpoints without a finite KL and gold are left out.

  Raises:
    ValueError: they share no range of KL.
  """
  first, second = (c.where_finite('kl', 'gold') for c in (first, second))
  if not (len(first.steps) and len(second.steps)):
    raise ValueError('a policy has no checkpoint with a finite KL and gold')
  low = max(first.distances.min(), second.distances.min())
  high = min(first.distances.max(), second.distances.max())
  if not low < high:
    raise ValueError(
      'the two policies share no range of KL; train one further, or '
      'record more checkpoints of the other'
    )
  both = np.concatenate([first.distances, second.distances, [low, high]])
  grid = np.unique(both[(both >= low) & (both <= high)])
  golds = gold_at(first, grid), gold_at(second, grid)
  area = np.trapezoid(golds[0] - golds[1], grid)
  return MatchedGold(grid**2, *golds, gap=float(area / (high - low)))


class TurnOver(NamedTuple):
  """Whether gold was lost by the end while the score was not.

  Attributes:
    step: middle of the stretch of training in which gold was highest.
    kl: mean KL in that stretch, nats per response.
    gold_lost: gold in the best stretch less gold in the last.
    score_gained: score in the last stretch less score in the best.
  """

  step: float
  kl: float
  gold_lost: statistics.Estimate
  score_gained: statistics.Estimate

  @property
  def found(self) -> bool:
    """Gold fell beyond chance, and the score did not fall beyond chance."""
    return self.gold_lost.low > 0 and self.score_gained.high >= 0


def turn_over(curve: RewardCurve, *, stretches: int = 10) -> TurnOver:
  """Measures the turn-over from a curve whose rows have independent noise.

  Training is cut into stretches of equal length. The highest of several noisy
  means is too high, so the best stretch is chosen by every other row and
  measured by the rows between, each way: where gold does not turn over, the
  expected loss is 0 or less.

  Args:
    curve: C checkpoints or training steps, at least 4 a stretch.
    stretches: into how many the curve is cut; rows left over are the first.
  """
  length = len(curve.steps) // stretches
  if length < 4 or curve.gold is None:
    raise ValueError(
      f'a turn-over needs the gold reward of {4 * stretches} rows or more; '
      f'this curve has {len(curve.steps)} rows'
    )

  def cut(values):  # [C] -> [stretches, length].
    rows = np.asarray(values, float)[-stretches * length :]
    return rows.reshape(stretches, length)

  steps, kl, score, gold = map(
    cut, (curve.steps, curve.kl, curve.score, curve.gold)
  )
  halves = [np.arange(length) % 2 == half for half in (0, 1)]
  chosen = [int(np.argmax(gold[:, rows].mean(axis=1))) for rows in halves]
  lost, gained = [], []
  for measured, best in zip(halves, reversed(chosen), strict=True):
    lost.append((gold[best, measured], gold[-1, measured]))
    gained.append((score[-1, measured], score[best, measured]))
  best = int(np.argmax(gold.mean(axis=1)))
  return TurnOver(
    step=float(steps[best].mean()),
    kl=float(kl[best].mean()),
    gold_lost=_mean_difference(lost),
    score_gained=_mean_difference(gained),
  )


def _mean_difference(pairs):
  """Estimate of the mean over `pairs` of (mean of first − mean of second)."""
  gaps, variances, degrees = [], [], 0
  for first, second in pairs:
    gaps.append(first.mean() - second.mean())
    degrees += first.size - 1
    if not np.array_equal(first, second):  # The best may be the last itself.
      variances += [x.var(ddof=1) / x.size for x in (first, second)]
  value = float(np.mean(gaps))
  error = float(np.sqrt(np.sum(variances))) / len(pairs)
  half = float(special.stdtrit(degrees, 0.975)) * error
  return statistics.Estimate(value, error, value - half, value + half)
