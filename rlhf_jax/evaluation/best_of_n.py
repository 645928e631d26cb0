"""The best of n: its distribution, its distance, and its worth from a pool.

Responses whose scores tie are chosen with equal chances, whichever was drawn
first. Under a score that never ties, the distance and the win rate depend on n
alone.

Source: Nakano et al. 2021, app. I (estimator); Stiennon et al. 2020, app. G.3
(divergence).
"""

import numpy as np
from scipy import special


def divergence(n: int) -> float:
  """KL(best of n ‖ policy) in nats: log n − (n − 1) / n.

  Exact where no two scores tie, an upper bound otherwise.
  """
  return float(np.log(n) - (n - 1) / n)


def win_rate(n: int) -> float:
  """How often the best of n beats one more response: n / (n + 1).

  By the score that chose it, a tie counting one half: exact where no two scores
  tie, an upper bound otherwise.
  """
  return n / (n + 1)


def distribution(scores: np.ndarray, base: np.ndarray, n: int) -> np.ndarray:
  """The chance of every response of a finite set to be the best of n.

  π(y) · (Fⁿ − F₋ⁿ) / (F − F₋) with F the policy's chance of a score as high as
  y's or lower, and F₋ of a lower one. Without ties that is nFⁿ⁻¹π(y) in the
  limit of many responses.

  Args:
    scores: [..., S] scores that choose.
    base: [..., S] the policy's chances, which sum to 1.
    n: responses compared, 1 or more.

  Returns:
    [..., S] chances; what ties shares its chance in proportion to `base`.
  """
  base = np.asarray(base, float)
  return base * _likelier(scores, base, n)


def exact_divergence(
  scores: np.ndarray, base: np.ndarray, n: int
) -> np.ndarray:
  """KL(best of n ‖ policy) in nats, of a finite set with whatever ties.

  Σ over distinct scores of P log(P / p), where P = Fⁿ − F₋ⁿ is the best's
  chance of the score and p = F − F₋ the policy's: among ties the best is as the
  policy, which adds nothing.

  Args:
    scores, base, n: as of `distribution`.

  Returns:
    [...] between 0 and `divergence(n)`.
  """
  base = np.asarray(base, float)
  likelier = _likelier(scores, base, n)
  return np.sum(base * special.xlogy(likelier, likelier), axis=-1)


def pool_divergence(scores: np.ndarray, n: int) -> np.ndarray:
  """KL(best of n ‖ policy) in nats, estimated from a pool of scored samples.

  A plug-in: `exact_divergence` of the pool itself, each sample of chance 1 / K.
  Where scores are coarse (right or wrong) it lies far below `divergence(n)`,
  which takes no two to tie, and is near the truth. It is biased by about 1 / K:
  mostly low, since a pool misses scores that are rare; a little high where K is
  not above n and the best score is common. So keep K several times n.

  Args:
    scores: [..., K] scores of samples of the policy, equal where they tie.
    n: responses compared, 1 or more.

  Returns:
    [...] one estimate a prompt, at most `divergence(n)` and log K.
  """
  scores = np.asarray(scores, float)
  uniform = np.full(scores.shape, 1.0 / scores.shape[-1])
  return exact_divergence(scores, uniform, n)


def expectation(score: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
  """Expected value of the response that is best by score among n.

  Σᵢ C(i − 1, n − 1) / C(K, n) · vᵢ over the pool in ascending order of score:
  the mean over all subsets of n, without drawing one. Responses whose score
  ties are chosen with equal chances.

  Args:
    score: [..., K] scores that choose.
    values: [..., K] what is reported of the chosen: gold reward, length, or
      the score itself.
    n: responses compared, 1 to K.

  Returns:
    [...] one expectation a prompt, unbiased.
  """
  score, values = np.asarray(score, float), np.asarray(values, float)
  pool = score.shape[-1]
  if score.shape != values.shape or not 1 <= n <= pool:
    raise ValueError(
      f'best of {n} needs at least {n} responses a prompt with one value a '
      f'score; scores have shape {score.shape}, values {values.shape}'
    )
  if not (np.isfinite(score).all() and np.isfinite(values).all()):
    raise ValueError(
      'scores that choose, and what is reported, have to be finite; leave out '
      'responses that could not be scored'
    )
  weights = _weights(pool, n)
  rows = zip(score.reshape(-1, pool), values.reshape(-1, pool), strict=True)
  chosen = [weights @ _ordered(scores, row) for scores, row in rows]
  return np.array(chosen).reshape(score.shape[:-1])


def _likelier(scores, base, n):
  """[..., S] by how much the best of n is likelier than the policy to say it.

  (Fⁿ − F₋ⁿ) / (F − F₋), and 0 for a score that the policy never reaches.
  """
  scores = np.asarray(scores, float)
  if scores.shape != base.shape or n < 1:
    raise ValueError(
      f'the best of {n} needs n of 1 or more and one chance a score; scores '
      f'have shape {scores.shape}, chances {base.shape}'
    )
  if not (np.isfinite(scores).all() and (base >= 0.0).all()):
    raise ValueError('scores have to be finite, and chances 0 or more')
  if not np.allclose(base.sum(-1), 1.0, atol=1e-6):
    raise ValueError(
      'the chances of the responses to a prompt have to sum to 1'
    )

  def of_one(scores, base):
    places = np.unique(scores, return_inverse=True)[1]
    same = np.bincount(places, base)
    at_most = np.cumsum(same)
    reached = same > 0.0
    # 1 − (F₋ / F)ⁿ by its logarithm: near ties of rare scores nothing cancels.
    with np.errstate(divide='ignore', invalid='ignore'):
      share = -np.expm1(n * np.log1p(-same / at_most))
      ratios = np.where(reached, at_most**n * share / same, 0.0)
    return ratios[places]

  size = scores.shape[-1]
  rows = zip(scores.reshape(-1, size), base.reshape(-1, size), strict=True)
  return np.array([of_one(*row) for row in rows]).reshape(scores.shape)


def _weights(pool, n):
  """[K] chance that the i-th smallest score is the largest of n drawn."""

  def log_binomial(a, b):
    gammaln = special.gammaln
    return gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)

  places = np.arange(n - 1, pool)  # Below n − 1 others are too few to beat.
  weights = np.zeros(pool)
  weights[places] = np.exp(log_binomial(places, n - 1) - log_binomial(pool, n))
  return weights


def _ordered(scores, values):
  """Values by ascending score, each replaced by the mean of its ties."""
  places = np.unique(scores, return_inverse=True)[1]
  means = np.bincount(places, values) / np.bincount(places)
  return means[np.sort(places)]
