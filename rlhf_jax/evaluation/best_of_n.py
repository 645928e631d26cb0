"""The best of n responses, from a pool sampled once.

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


def expectation(proxy: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
  """Expected value of the response that is best by proxy among n.

  Σᵢ C(i − 1, n − 1) / C(K, n) · vᵢ over the pool in ascending order of proxy:
  the mean over all subsets of n, without drawing one. Responses whose proxy
  ties are chosen with equal chances.

  Args:
    proxy: [..., K] scores that choose.
    values: [..., K] what is reported of the chosen: gold reward, length, or
      the proxy itself.
    n: responses compared, 1 to K.

  Returns:
    [...] one expectation a prompt, unbiased.
  """
  proxy, values = np.asarray(proxy, float), np.asarray(values, float)
  pool = proxy.shape[-1]
  if proxy.shape != values.shape or not 1 <= n <= pool:
    raise ValueError(
      f'best of {n} needs at least {n} responses a prompt with one value a '
      f'score; scores have shape {proxy.shape}, values {values.shape}'
    )
  weights = _weights(pool, n)
  rows = zip(proxy.reshape(-1, pool), values.reshape(-1, pool), strict=True)
  chosen = [weights @ _ordered(scores, row) for scores, row in rows]
  return np.array(chosen).reshape(proxy.shape[:-1])


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
