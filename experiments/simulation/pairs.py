"""Pairs of candidates: [N, 2] of their places, the better first."""

import numpy as np
from scipy import special

from experiments.simulation.candidates import Candidates
from rlhf_jax.methods.rlp import consistency


def uniform(
  found: Candidates, count: int, rng: np.random.Generator
) -> np.ndarray:
  """[count, 2] two different candidates each, over and over the prompts."""
  prompts, each = found.gold.shape
  starts = each * (np.arange(count) % prompts)
  first = rng.integers(each, size=count)
  second = (first + rng.integers(1, each, size=count)) % each
  return starts[:, None] + np.stack([first, second], axis=1)


def annotated(
  found: Candidates, pairs: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
  """[N, 2] the pairs as an annotator of temperature 1 prefers them."""
  gold = found.gold.ravel()[pairs]
  prefers = rng.random(len(pairs)) < special.expit(gold[:, 0] - gold[:, 1])
  return np.where(prefers[:, None], pairs, pairs[:, ::-1])


def agreed(
  found: Candidates,
  drawn: np.ndarray,
  scores: np.ndarray,
  choose: consistency.Choice,
  *,
  gamma: float,
  seed: int,
) -> np.ndarray:
  """[N, 2] RLP-SPG's pairs of the samples that state the same answer.

  Args:
    found: P · K candidates.
    drawn: [V, n] places of samples.
    scores: [P · K] of the reward that was learnt from.
    choose: which member of the largest group is preferred.
    gamma: least share of the samples in it.
    seed: of who is rejected.
  """
  answers, pairs = found.answers.ravel(), []
  for visit, places in enumerate(drawn):
    made = consistency.pair(
      answers[places],
      [found.texts[place] for place in places],
      scores[places],
      gamma=gamma,
      generator=np.random.default_rng((seed, visit)),
      choose=choose,
    )
    if isinstance(made, consistency.Pair):
      pairs.append(places[[made.chosen, made.rejected]])
  return np.array(pairs, int).reshape(-1, 2)


def agreeing(drawn: np.ndarray, answers: np.ndarray) -> np.ndarray:
  """[M, 2] places of the first two samples of each visit's largest group.

  Args:
    drawn: [V, n] places of samples, of a prompt each visit.
    answers: [P · K] equal where two candidates of a prompt state the same.
  """
  pairs = []
  for places in drawn:
    stated, counts = np.unique(answers[places], return_counts=True)
    members = places[answers[places] == stated[np.argmax(counts)]]
    if len(members) > 1:
      pairs.append(members[:2])
  return np.array(pairs, int).reshape(-1, 2)


def higher_first(pairs: np.ndarray, scores: np.ndarray) -> np.ndarray:
  """[≤ N, 2] the pairs as the scores [P · K] rank them, ties left out."""
  gaps = scores[pairs[:, 0]] - scores[pairs[:, 1]]
  ordered = np.where(gaps[:, None] > 0, pairs, pairs[:, ::-1])
  return ordered[gaps != 0]


def second_pairs(
  found: Candidates,
  drawn: np.ndarray,
  scores: np.ndarray,
  rng: np.random.Generator,
  *,
  gamma: float,
) -> dict[str, np.ndarray]:
  """{arm: the pairs [N, 2] of a policy's samples that it learns from too}.

  Annotated ones are as many as those of any member.

  Args:
    found, drawn, scores, gamma: as of `agreed`.
    rng: of annotators and of choices.
  """
  seed = int(rng.integers(2**32))
  best, any_member = (
    agreed(found, drawn, scores, choose, gamma=gamma, seed=seed)
    for choose in (consistency.best_scored, consistency.any_member)
  )
  first_two = drawn[rng.permutation(len(drawn)), :2]
  first_two = first_two[first_two[:, 0] != first_two[:, 1]]
  return {
    'best scored': best,
    'any member': any_member,
    'reward': higher_first(first_two, scores),
    'annotated again': annotated(found, first_two[: len(any_member)], rng),
  }
