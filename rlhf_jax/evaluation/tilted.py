"""The best policies that a reward allows, over candidates that are written.

Each of P prompts has K candidates, drawn from the policy that all start from,
which so is uniform over them. Of all policies at one KL from it the one of the
highest mean score is π(k) ∝ exp(score_k / β). So a reward can be judged by what
it leads to, without training anything.

Source: Rafailov et al. 2023, eq. 4; Korbak et al. 2022.
"""

import numpy as np
from scipy import optimize, special


def policy(scores: np.ndarray, beta: float) -> np.ndarray:
  """[P, K] π of scores [P, K] at β > 0, in the scores' units; rows add to 1."""
  return special.softmax(_candidates(scores) / beta, axis=1)


def divergence(chances: np.ndarray) -> np.ndarray:
  """[P] KL of chances [P, K] to the uniform policy, in nats."""
  chances = np.asarray(chances, float)
  return special.xlogy(chances, chances * chances.shape[1]).sum(axis=1)


def beta_at(scores: np.ndarray, kl: float) -> float:
  """The β at which the mean KL over prompts is `kl` nats.

  Args:
    scores: [P, K].
    kl: above 0, below what always taking a prompt's best candidates has.

  Raises:
    ValueError: no β leads so far.
  """
  scores = _candidates(scores)
  best = scores == scores.max(axis=1, keepdims=True)
  furthest = float(np.mean(np.log(scores.shape[1] / best.sum(axis=1))))
  if not 0.0 < kl < furthest:
    raise ValueError(
      f'a KL of {kl:g} nats is out of reach; between 0 and always taking the '
      f'best of {scores.shape[1]} candidates lie {furthest:.2f} nats'
    )

  def beyond(log_beta):
    return divergence(policy(scores, np.exp(log_beta))).mean() - kl

  low = high = np.log(scores.std())
  while beyond(low) < 0.0:
    low -= 1.0
  while beyond(high) > 0.0:
    high += 1.0
  return float(np.exp(optimize.brentq(beyond, low, high)))


def win_rates(
  first: np.ndarray, second: np.ndarray, gold: np.ndarray
) -> np.ndarray:
  """[P] chance that the first policy's response has the higher gold, ties ½.

  Args:
    first: [P, K] chances of each candidate; second likewise.
    gold: [P, K] of the candidates.
  """
  order = np.sign(gold[:, :, None] - gold[:, None, :])
  return 0.5 + 0.5 * np.einsum('pk,pl,pkl->p', first, second, order)


def pair_accuracy(
  scores: np.ndarray, gold: np.ndarray, chances: np.ndarray
) -> float:
  """How often the scores are right on two samples of different gold, ties ½.

  Args:
    scores: [P, K] of the candidates, and gold [P, K].
    chances: [P, K] of the policy whose samples they are. A prompt counts by how
      often its samples differ in gold.
  """
  order = np.sign(gold[:, :, None] - gold[:, None, :])
  agrees = order * np.sign(scores[:, :, None] - scores[:, None, :])
  both = np.einsum('pk,pl->pkl', chances, chances) * np.abs(order)
  return float(0.5 + 0.5 * np.sum(both * agrees) / np.sum(both))


def _candidates(scores):
  scores = np.asarray(scores, float)
  if scores.ndim != 2 or not np.isfinite(scores).all():
    raise ValueError(
      'scores have to be finite and [prompts, candidates]; these have the '
      f'shape {scores.shape}'
    )
  return scores
