"""What the win rate would be if both responses were equally long.

The judge's preference is modelled as
logit sᵢ = θ + φ · tanh(Δlenᵢ / sd(Δlen)) + ψ γᵢ, where γᵢ is how difficult a
prompt is, if somebody knows it, and the length-controlled win rate is the mean
of σ(θ + ψ γᵢ), the prediction at Δlen = 0. Swapping the two policies gives
exactly one minus it.

Of one policy's verdicts alone φ rests on how its own lengths happen to vary.
The published fit is held by copies: the reference's own answers made concise
and verbose, judged against the reference. They are rows without θ, of a total
weight of 0.2 to the policy's rows, and an L1 penalty on (θ, φ, ψ) is chosen by
cross-validation. With copies this is that fit. Without them it is the
likelihood's maximum: their code has the penalty there too, which moves the
number by 0.1 points over their leaderboard, and of few prompts could take θ
away.

How close it comes to the published numbers, and how far off it is without
copies or difficulties: `tests/evaluation/alpaca_leaderboard_test.py`.

Source: Dubois et al. 2024 (length-controlled AlpacaEval).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from rlhf_jax.evaluation import statistics
from rlhf_jax.evaluation.samples import PolicySamples, prompt_groups
from rlhf_jax.types import Prompt

COPIES_WEIGHT = 0.2  # Of a row of each copy together, to one of the policy's.
# Of the likelihood, to the sum of absolute coefficients: chosen among these.
STRENGTHS = np.logspace(-4, 4, 10)
FOLDS = 5


class NotIdentifiedError(ValueError):
  """The verdicts do not say what the win rate at equal length is: says why."""


class Copies(NamedTuple):
  """The reference's own answers at another length, judged against it.

  Attributes:
    prompts: M of those that the policy answered.
    credits: [M] of the copy against the reference, NaN without a verdict.
    gaps: [M] characters by which the copy is longer than the reference.
  """

  prompts: Sequence[Prompt]
  credits: np.ndarray
  gaps: np.ndarray


class FittedRows(NamedTuple):
  """What is fitted: R rows with a verdict.

  Attributes:
    features: [R, K] of θ (0 on copies), φ and, with difficulties, ψ.
    credits: [R] in [0, 1].
    weights: [R].
  """

  features: np.ndarray
  credits: np.ndarray
  weights: np.ndarray


def length_gaps(samples: PolicySamples, reference: PolicySamples) -> np.ndarray:
  """[N] characters by which each response is longer than the reference's."""
  pairs = zip(samples.responses, reference.responses, strict=True)
  return np.array([len(a) - len(b) for a, b in pairs], float)


def win_rate(
  credits: np.ndarray,
  gaps: np.ndarray,
  prompts: Sequence[Prompt],
  *,
  difficulties: np.ndarray | None = None,
  copies: Sequence[Copies] = (),
  resamples: int = 1_000,
) -> statistics.Estimate:
  """Length-controlled win rate, the fit bootstrapped over prompts.

  A prompt is drawn with the copies' verdicts on it. The lengths' unit and the
  penalty's strength are of the whole data, and stay.

  Args:
    credits: [N] in [0, 1]; rows of NaN are not fitted.
    gaps: [N] length differences, in any one unit.
    prompts: N prompts.
    difficulties: [N] of the prompts, or None where they are not known.
    copies: of the reference, which hold φ; none, one or more.
    resamples: how many fits the interval comes from.

  Raises:
    ValueError: no row has a verdict.
    NotIdentifiedError: length cannot be told from quality.
  """
  credits, gaps = np.asarray(credits, float), np.asarray(gaps, float)
  found = ~np.isnan(credits)
  if not found.any():
    raise ValueError('no pair has a verdict, so no win rate at equal length')
  rows, kept = rows_of(credits, gaps, prompts, difficulties, copies)
  _check(rows, credits[found], gaps[found], bool(copies))
  every = [*prompts, *(p for copy in copies for p in copy.prompts)]
  penalty = 1.0 / strength(rows) if copies else 0.0

  def rates(weights):
    drawn = fit(rows, weights[:, kept], penalty=penalty)
    if difficulties is None:
      return special.expit(drawn[:, 0])
    # Of all prompts, judged or not, as published.
    own = weights[:, : len(prompts)]
    chances = special.expit(drawn[:, :1] + drawn[:, 2:] * difficulties)
    return np.sum(own * chances, axis=1) / own.sum(axis=1)

  rate = statistics.bootstrapped(
    rates, prompt_groups(every), resamples=resamples
  )
  if not rate.low < rate.high and np.ptp(credits[found]) > 0:
    raise NotIdentifiedError(
      'cross-validation chose a penalty that leaves nothing of the policy; '
      'more questions would tell'
      if copies
      else 'all verdicts are on one question'
    )
  return rate


def pooled_win_rate(
  credits: Sequence[np.ndarray],
  gaps: Sequence[np.ndarray],
  prompts: Sequence[Sequence[Prompt]],
) -> statistics.Estimate:
  """Of several runs, each run's fit one observation; of one, `win_rate`.

  Raises:
    NotIdentifiedError: as of `win_rate`, of one of the runs.
  """
  if len(credits) == 1:
    return win_rate(credits[0], gaps[0], prompts[0])
  logits = []
  for credit, gap, asked in zip(credits, gaps, prompts, strict=True):
    credit, gap = np.asarray(credit, float), np.asarray(gap, float)
    rows, _ = rows_of(credit, gap, asked)
    found = ~np.isnan(credit)
    _check(rows, credit[found], gap[found], False)
    logits.append(fit(rows, np.ones((1, found.sum())))[0, 0])
  rates = special.expit(logits)
  return statistics.within_unit(statistics.mean(rates, np.arange(len(rates))))


def rows_of(
  credits: np.ndarray,
  gaps: np.ndarray,
  prompts: Sequence[Prompt],
  difficulties: np.ndarray | None = None,
  copies: Sequence[Copies] = (),
) -> tuple[FittedRows, np.ndarray]:
  """What is fitted, and [N + ΣM] bool: the rows that have a verdict."""
  sets = [Copies(prompts, credits, gaps), *copies]
  own = [i == 0 for i, one in enumerate(sets) for _ in one.prompts]
  columns = [np.array(own, float), np.concatenate([_lengths(s) for s in sets])]
  if difficulties is not None:
    # A copy's prompt is as difficult as the policy's.
    pairs = zip(prompts, difficulties, strict=True)
    known = {prompt.messages: difficulty for prompt, difficulty in pairs}
    every = [known[p.messages] for one in sets for p in one.prompts]
    columns.append(np.array(every, float))
  verdicts = np.concatenate([np.asarray(s.credits, float) for s in sets])
  kept = ~np.isnan(verdicts)
  weights = np.where(own, 1.0, COPIES_WEIGHT / max(len(copies), 1))
  features = np.stack(columns, axis=1)
  return FittedRows(features[kept], verdicts[kept], weights[kept]), kept


def _lengths(one: Copies) -> np.ndarray:
  """[M] tanh of the gaps in units of their sd, of rows without verdict too."""
  gaps = np.asarray(one.gaps, float)
  sd = gaps.std(ddof=1) if gaps.size > 1 else 0.0
  return np.tanh(gaps / sd) if sd > 0 else np.sign(gaps)


def _check(rows: FittedRows, credits, gaps, held: bool) -> None:
  """Refuses verdicts of which the fit would be what it makes up."""
  if not gaps.any() and np.all(credits == 0.5):
    return  # A policy against itself.
  if np.ptp(credits) == 0:
    raise NotIdentifiedError(
      f'all {credits.size} verdicts are alike, which a fit of who wins needs '
      'to differ'
    )
  if held:
    return
  if gaps.any() and (gaps.min() >= 0 or gaps.max() <= 0):
    side = 'shorter' if gaps.min() >= 0 else 'longer'
    raise NotIdentifiedError(
      f'the policy is never the {side} one, so length cannot be told from '
      'quality'
    )
  if separable(rows):
    raise NotIdentifiedError(
      'length tells every verdict, so that nothing else can be told'
    )


def separable(rows: FittedRows) -> bool:
  """Whether some coefficients explain the verdicts ever better without end.

  Then the likelihood has no maximum. With soft or tied verdicts, which no
  coefficients but those of logit 0 leave alone, that is rare.

  Source: Albert & Anderson 1984.
  """
  decided = (rows.credits == 0) | (rows.credits == 1)
  signs = np.where(rows.credits == 1, 1.0, -1.0)[:, None]
  soft = rows.features[~decided]
  if len(soft) and np.linalg.matrix_rank(soft) == soft.shape[1]:
    return False
  sided = (signs * rows.features)[decided]
  result = optimize.linprog(
    -sided.sum(axis=0),
    A_ub=-sided,
    b_ub=np.zeros(len(sided)),
    A_eq=soft if len(soft) else None,
    b_eq=np.zeros(len(soft)) if len(soft) else None,
    bounds=(-1, 1),
  )
  return -result.fun > 1e-6


def strength(rows: FittedRows) -> float:
  """The likelihood's strength that predicts held-out verdicts best.

  Each fifth row is held out in turn; a mean over rows, then over folds.
  """
  count = len(rows.credits)
  folds = np.arange(count) % min(FOLDS, count)
  held_out = folds == np.arange(folds.max() + 1)[:, None]
  losses = []
  for value in STRENGTHS:
    found = fit(rows, (~held_out).astype(float), penalty=1.0 / value)
    logits = found @ rows.features.T
    chances = np.clip(special.expit(logits), 1e-15, 1 - 1e-15)
    loss = special.xlogy(rows.credits, chances) + special.xlogy(
      1 - rows.credits, 1 - chances
    )
    each = np.sum(held_out * rows.weights * loss, axis=1)
    losses.append(np.mean(each / held_out.sum(axis=1)))
  return float(STRENGTHS[np.argmax(losses)])


def fit(
  rows: FittedRows, weights: np.ndarray, *, penalty: float = 0.0
) -> np.ndarray:
  """[F, K] coefficients of F fits by Newton steps, rows weighted by [F, R].

  The least of Σ weight · log loss + penalty · Σ |coefficient|, where a row's
  weight is its own times that of `weights`.
  """
  features, credits = rows.features, rows.credits
  weights = weights * rows.weights
  count = features.shape[1]
  squares = np.einsum('rk,rl->rkl', features, features).reshape(-1, count**2)
  coefficients = np.zeros((len(weights), count))
  for _ in range(100):
    chances = special.expit(coefficients @ features.T)
    gradient = (weights * (credits - chances)) @ features
    hessian = (weights * chances * (1 - chances)) @ squares
    # Where a resample leaves a feature out, its coefficient stays.
    hessian = hessian.reshape(-1, count, count) + 1e-9 * np.eye(count)
    if penalty:
      step = _shrunk(coefficients, gradient, hessian, penalty)
    else:
      step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
    # Steps of at most 1 keep Newton from overshooting where σ is flat.
    step /= np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1.0)
    coefficients += step
    if np.abs(step).max() < 1e-10:
      break
  return coefficients


def _shrunk(coefficients, gradient, hessian, penalty) -> np.ndarray:
  """[F, K] Newton steps under an L1 penalty, a coefficient at a time."""
  found = coefficients.copy()
  # The likelihood's second-order expansion, as of found: linear − H found.
  linear = gradient + np.einsum('fkl,fl->fk', hessian, coefficients)
  for _ in range(100):
    before = found.copy()
    for k in range(found.shape[1]):
      curve = hessian[:, k, k]
      rest = np.sum(hessian[:, k] * found, axis=1) - curve * found[:, k]
      pull = linear[:, k] - rest
      found[:, k] = (
        np.sign(pull) * np.maximum(np.abs(pull) - penalty, 0) / curve
      )
    if np.abs(found - before).max() < 1e-12:
      break
  return found - coefficients


def far_apart(raw: float, controlled: statistics.Estimate | None) -> bool:
  """Whether length explains so much of a win rate that readers must know.

  True beyond 0.1, or beyond a quarter of the way to the end of the scale if
  that is more, the rule of AlpacaEval; and beyond the interval, so that it is
  no chance of a few prompts. False where nothing is known at equal length.
  """
  if controlled is None:
    return False
  room = 1.0 - raw if controlled.value > raw else raw
  far = abs(controlled.value - raw) > max(0.1, room / 4)
  return far and not controlled.low <= raw <= controlled.high
