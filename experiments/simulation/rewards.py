"""Reward learning without networks: a reward, its policy, what they lead to.

SFT is the demonstrator, whose texts are the candidates; a policy is these
tilted, π ∝ exp(reward / β), which is the optimum of learning from the reward at
a price of β a nat; a reward is a ridge regression on phrases and on a table of
answers.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from experiments.simulation import pairs
from experiments.simulation.candidates import Candidates, samples
from rlhf_jax.evaluation import judges, tilted
from rlhf_jax.sandbox import regression

SAMPLES = 10  # Of a policy, each time that a prompt is visited.
NONE = np.zeros((0, 2), int)  # No pair.


class Setting(NamedTuple):
  """A row of the table.

  Attributes:
    pairs: annotated ones that the first reward learns from.
    visits: of each training prompt by the samples.
    kl: of the first policy, nats on held-out prompts.
    table: whether the reward has a table of answers.
  """

  pairs: int
  visits: int
  kl: float
  table: bool = True


class Arm(NamedTuple):
  """What a retrained reward leads to, or the first one.

  Attributes:
    pairs: synthetic or annotated ones that were added; NaN where none were.
    agrees: share of these whose first has the higher gold, ties ½.
    accuracy: share of pairs of the first policy's samples ranked as gold
      does.
    kl: nats from SFT at the first policy's β.
    win: win rate against the first policy there.
    win_at_kl: the same at its KL, as the two after it.
    right: share of right responses.
    gold: reward units.
  """

  pairs: float
  agrees: float
  accuracy: float
  kl: float
  win: float
  win_at_kl: float
  right: float
  gold: float


class First(NamedTuple):
  """The first reward of a simulation, and its policy.

  Attributes:
    train, test: candidates of training and of held-out prompts.
    setting: of the simulation.
    annotated: [N, 2] the pairs that the reward learnt from.
    scores: [P · K] of the reward on the training prompts' candidates.
    held_out: [P, K] on the others'.
    beta: reward units a nat, of its policy.
    drawn: [V, n] places of the policy's samples, to training prompts.
  """

  train: Candidates
  test: Candidates
  setting: Setting
  annotated: np.ndarray
  scores: np.ndarray
  held_out: np.ndarray
  beta: float
  drawn: np.ndarray

  def arm(self, scored: np.ndarray, added: np.ndarray = NONE) -> Arm:
    """What a reward leads to.

    Args:
      scored: [P, K] its scores of the held-out candidates.
      added: [M, 2] pairs that it learnt from beside the annotated ones.
    """
    gold, kl = self.test.gold, self.setting.kl
    start = tilted.policy(self.held_out, self.beta)
    at_kl = tilted.policy(scored, tilted.beta_at(scored, kl))
    at_beta = tilted.policy(scored, self.beta)
    wins = [tilted.win_rates(p, start, gold) for p in (at_beta, at_kl)]
    return Arm(
      len(added) or float('nan'),
      agreement(self.train.gold.ravel()[added]),
      tilted.pair_accuracy(scored, gold, start),
      tilted.divergence(at_beta).mean(),
      *(each.mean() for each in wins),
      *((at_kl * v).sum(axis=1).mean() for v in (self.test.right, gold)),
    )

  def again(self, reward: np.ndarray, added: np.ndarray = NONE) -> Arm:
    """What a retrained reward [F] leads to, on the scale of the first."""
    scale = self.scores.std() / (self.train.features @ reward).std()
    scored = scale * (self.test.features @ reward)
    return self.arm(scored.reshape(self.test.gold.shape), added)


def begin(
  train: Candidates,
  test: Candidates,
  setting: Setting,
  rng: np.random.Generator,
) -> First:
  """Fits the first reward; samples its policy.

  Args:
    train: candidates of training prompts, their features as the setting has it.
    test: of held-out prompts.
    setting: of the simulation.
    rng: of annotators and samples.
  """
  unlabelled = pairs.uniform(train, setting.pairs, rng)
  annotated = pairs.annotated(train, unlabelled, rng)
  reward = fitted(train, annotated)
  scores = train.features @ reward
  held_out = (test.features @ reward).reshape(test.gold.shape)
  beta = tilted.beta_at(held_out, setting.kl)
  policy = tilted.policy(scores.reshape(train.gold.shape), beta)
  drawn = samples(policy, setting.visits, SAMPLES, rng)
  return First(train, test, setting, annotated, scores, held_out, beta, drawn)


def fitted(found: Candidates, pairs: np.ndarray, **options: Any) -> np.ndarray:
  """[F] the regression of pairs [N, 2] of candidates, the better first.

  Args:
    found: candidates.
    pairs: places of two each.
    **options: of `regression.coefficients`.
  """
  return regression.coefficients(
    gaps(found, pairs), np.ones(len(pairs)), ridge=1.0, **options
  )


def gaps(found: Candidates, pairs: np.ndarray) -> sparse.csr_array:
  """[N, F] features of the first less the second of pairs [N, 2]."""
  return found.features[pairs[:, 0]] - found.features[pairs[:, 1]]


def agreement(gold: np.ndarray) -> float:
  """Share of pairs of gold [N, 2] whose first is the higher, ties ½."""
  if not len(gold):
    return float('nan')
  return float(np.mean(judges.credits_from_scores(*gold.T)))
