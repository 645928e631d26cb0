"""A preference pair out of one prompt's samples, where they mostly agree.

What most samples say is taken to be right: the preferred response is of the
largest group of equal meaning, the other one of the rest. A prompt whose
largest group is too small says nothing, nor does one whose samples all agree.

Source: Lang, Huang & Li 2024 (RLP), §3.2.
"""

import enum
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.feedback import sampled_pairs


class Rejected(enum.Enum):
  """Why a prompt gives no pair."""

  LOW_CONFIDENCE = 'rejected_low_confidence'
  ALL_AGREE = 'rejected_all_agree'
  TIE = 'rejected_tie'
  EMPTY = 'rejected_empty'


class Pair(NamedTuple):
  """Indices of the preferred sample and of the other one.

  Attributes:
    chosen: of the largest group.
    rejected: of another one.
    tied: whether another group has the same size.
  """

  chosen: int
  rejected: int
  tied: bool


# (members of the largest group, rewards [n], generator) -> one of the members.
Choice = Callable[[Sequence[int], np.ndarray, np.random.Generator], int]
# (largest groups, rewards [n]) -> one of them, or None to give no pair.
Tie = Callable[[list[list[int]], np.ndarray], list[int] | None]


def best_scored(
  members: Sequence[int], rewards: np.ndarray, generator: np.random.Generator
) -> int:
  """The member of the highest reward; of equal ones the first drawn."""
  del generator
  return max(members, key=lambda i: rewards[i])


def any_member(
  members: Sequence[int], rewards: np.ndarray, generator: np.random.Generator
) -> int:
  """Any member alike: the reward, and with it length, has no say."""
  del rewards
  return int(generator.choice(members))


def of_best_scored(tied: list[list[int]], rewards: np.ndarray) -> list[int]:
  """Of several largest groups, the one with the sample of highest reward."""
  return max(tied, key=lambda group: max(rewards[i] for i in group))


def none_of_tied(tied: list[list[int]], rewards: np.ndarray) -> None:
  """Several largest groups give no pair."""
  del tied, rewards


def groups_of(labels: Sequence[int], texts: Sequence[str]) -> list[list[int]]:
  """Indices of samples by group, in the order of their first members.

  Without the empty samples, which are in no group.
  """
  found: dict[int, list[int]] = {}
  for i, (label, text) in enumerate(zip(labels, texts, strict=True)):
    if text.strip():
      found.setdefault(int(label), []).append(i)
  return list(found.values())


def pair(
  labels: Sequence[int],
  texts: Sequence[str],
  rewards: Sequence[float],
  *,
  gamma: float,
  generator: np.random.Generator,
  choose: Choice = best_scored,
  tie: Tie = of_best_scored,
) -> Pair | Rejected:
  """The pair of one prompt, or why there is none.

  Args:
    labels: [n] group of each sample; equal texts have equal ones.
    texts: n samples; an empty one counts in n and is never in a pair, since it
      would teach length alone.
    rewards: [n] of the step-2 reward model, in reward units, NaN of a sample
      that could not be scored, which counts in n and is never in a pair.
    gamma: least share of the n samples that the largest group must have; 0
      rejects no prompt for it.
    generator: of the prompt; it draws the rejected sample, uniform over all
      that are not in the largest group.
    choose: which member of the largest group is preferred.
    tie: which of several largest groups is taken, if any.
  """
  rewards = np.asarray(rewards, float)
  scored = np.isfinite(rewards)
  # As an empty one, one without a score is in no group.
  groups = groups_of(labels, np.where(scored, texts, ''))
  if not groups:
    return Rejected.EMPTY
  count, size = len(texts), max(map(len, groups))
  if size < sampled_pairs.least_count(gamma, count):
    return Rejected.LOW_CONFIDENCE
  if len(groups) == 1:
    return Rejected.ALL_AGREE
  largest = [group for group in groups if len(group) == size]
  best = largest[0] if len(largest) == 1 else tie(largest, rewards)
  if best is None:
    return Rejected.TIE
  others = [i for group in groups if group is not best for i in group]
  return Pair(
    int(choose(best, rewards, generator)),
    int(generator.choice(others)),
    len(largest) > 1,
  )
