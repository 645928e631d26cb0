"""What the win rate would be if both responses were equally long.

The judge's preference is modelled as
logit sᵢ = θ + φ · tanh(Δlenᵢ / sd(Δlen)) + ψ γᵢ, where γᵢ is how difficult a
prompt is, if somebody knows it, and the length-controlled win rate is the mean
of σ(θ + ψ γᵢ), the prediction at Δlen = 0. Swapping the two policies gives
exactly one minus it.

Source: Dubois et al. 2024 (length-controlled AlpacaEval). Their fit is held by
an L1 penalty chosen by cross-validation, and by copies of the reference of
altered length; this one by a weak normal prior.
"""

from collections.abc import Sequence

import numpy as np
from scipy import special

from rlhf_jax.evaluation import statistics
from rlhf_jax.evaluation.samples import PolicySamples, prompt_groups
from rlhf_jax.types import Prompt

# Precision of the zero-mean normal prior on θ, φ and ψ: it decides nothing but
# where the fit ends when the data are separable.
PRIOR_PRECISION = 0.01


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
  resamples: int = 1_000,
) -> statistics.Estimate:
  """Length-controlled win rate, the whole fit bootstrapped over prompts.

  Args:
    credits: [N] in [0, 1]; rows of NaN are left out.
    gaps: [N] length differences, in any one unit.
    prompts: N prompts.
    difficulties: [N] of the prompts, or None where they are not known.
    resamples: how many fits the interval comes from.

  Raises:
    ValueError: no row has a verdict.
  """
  found = ~np.isnan(credits)
  if not found.any():
    raise ValueError('no pair has a verdict, so no win rate at equal length')
  credits, gaps = np.asarray(credits)[found], np.asarray(gaps, float)[found]
  if difficulties is not None:
    difficulties = np.asarray(difficulties, float)[found]
  groups = prompt_groups(prompts)[found]

  def rates(weights):
    coefficients = fit(credits, gaps, weights, difficulties)
    return _equally_long(coefficients, weights, difficulties)

  return statistics.bootstrapped(rates, groups, resamples=resamples)


def pooled_win_rate(
  credits: Sequence[np.ndarray],
  gaps: Sequence[np.ndarray],
  prompts: Sequence[Sequence[Prompt]],
) -> statistics.Estimate:
  """Of several runs, each run's fit one observation; of one, `win_rate`."""
  if len(credits) == 1:
    return win_rate(credits[0], gaps[0], prompts[0])
  logits = []
  for credit, gap in zip(credits, gaps, strict=True):
    found = ~np.isnan(credit)
    weights = np.ones((1, found.sum()))
    logits.append(fit(credit[found], gap[found], weights)[0, 0])
  rates = special.expit(logits)
  return statistics.within_unit(statistics.mean(rates, np.arange(len(rates))))


def _equally_long(coefficients, weights, difficulties) -> np.ndarray:
  """[F] mean predictions of F fits at equal length, rows weighted by [F, N]."""
  if difficulties is None:
    return special.expit(coefficients[:, 0])
  chances = special.expit(
    coefficients[:, :1] + coefficients[:, 2:] * difficulties
  )
  return np.sum(weights * chances, axis=1) / weights.sum(axis=1)


def fit(
  credits: np.ndarray,
  gaps: np.ndarray,
  weights: np.ndarray,
  difficulties: np.ndarray | None = None,
) -> np.ndarray:
  """[F, 2] (θ, φ) of F fits by Newton steps, rows weighted by [F, N].

  [F, 3] (θ, φ, ψ) with the difficulties [N] of their prompts.
  """
  share = weights / weights.sum(axis=1, keepdims=True)
  centred = gaps - share @ gaps[:, None]
  sd = np.sqrt(np.sum(share * centred**2, axis=1, keepdims=True))
  lengths = np.tanh(gaps / np.where(sd > 0, sd, np.inf))
  columns = [np.ones_like(lengths), lengths]
  if difficulties is not None:
    columns.append(np.broadcast_to(difficulties, lengths.shape))
  features = np.stack(columns, axis=-1)
  coefficients = np.zeros((len(weights), len(columns)))
  for _ in range(50):
    chances = special.expit(np.sum(features * coefficients[:, None], axis=-1))
    gradient = np.einsum('fn,fnk->fk', weights * (credits - chances), features)
    gradient -= PRIOR_PRECISION * coefficients
    hessian = np.einsum(
      'fn,fnk,fnl->fkl', weights * chances * (1 - chances), features, features
    ) + PRIOR_PRECISION * np.eye(len(columns))
    step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
    # Steps of at most 1 keep Newton from overshooting where σ is flat.
    step /= np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1.0)
    coefficients += step
    if np.abs(step).max() < 1e-10:
      break
  return coefficients


def far_apart(raw: float, controlled: statistics.Estimate) -> bool:
  """Whether length explains so much of a win rate that readers must know.

  True beyond 0.1, or beyond a quarter of the way to the end of the scale if
  that is more, the rule of AlpacaEval; and beyond the interval, so that it is
  no chance of a few prompts.
  """
  room = 1.0 - raw if controlled.value > raw else raw
  far = abs(controlled.value - raw) > max(0.1, room / 4)
  return far and not controlled.low <= raw <= controlled.high
