"""What there is to gain by choosing: the best of n above their median.

It grows with n while the median stays, and says how many samples are worth
their cost before anything is trained on the best of them.

Source: Touvron et al. 2023 (Llama 2), §3.2.3, fig. 7.
"""

import numpy as np
from scipy import special


def potential_gain(scores: np.ndarray, n: int) -> np.ndarray:
  """Expected largest score of n less their expected median, from a pool.

  The means over all subsets of n, without drawing one.

  Args:
    scores: [..., K] of samples of one policy, in reward units.
    n: responses, 1 to K.

  Returns:
    [...] one a prompt, in reward units, unbiased; 0 for n = 1.
  """
  middle = {(n + 1) // 2, n // 2 + 1}  # One, or of even n two.
  median = np.mean([order_statistic(scores, n, rank) for rank in middle], 0)
  return order_statistic(scores, n, n) - median


def order_statistic(scores: np.ndarray, n: int, rank: int) -> np.ndarray:
  """Expected rank-th smallest of n drawn from a pool without replacement.

  Σᵢ C(i − 1, rank − 1) C(K − i, n − rank) / C(K, n) · s₍ᵢ₎ over the pool in
  ascending order.

  Args:
    scores: [..., K].
    n: how many are drawn, 1 to K.
    rank: 1 for the smallest of these, n for the largest.

  Returns:
    [...].
  """
  scores = np.sort(np.asarray(scores, float), axis=-1)
  if not np.isfinite(scores).all():
    raise ValueError(
      'scores have to be finite; leave out responses that could not be scored'
    )
  pool = scores.shape[-1]
  if not 1 <= rank <= n <= pool:
    raise ValueError(
      f'number {rank} of {n} out of a pool of {pool}; a rank is from 1 to n, '
      'and n at most the pool'
    )
  # Those below fill rank − 1 places of the n, those above n − rank.
  below = np.arange(rank - 1, pool - n + rank)
  chances = np.exp(
    _log_binomial(below, rank - 1)
    + _log_binomial(pool - 1 - below, n - rank)
    - _log_binomial(pool, n)
  )
  return scores[..., below] @ chances


def _log_binomial(a, b):
  return (
    special.gammaln(a + 1) - special.gammaln(b + 1) - special.gammaln(a - b + 1)
  )
