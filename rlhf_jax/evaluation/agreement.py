"""How far a judge agrees with labels, and how far the order sways it.

A pair's order is arbitrary: everything here is the same if the two responses of
a pair change places. A credit above ½ counts as a win, below as a loss.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.evaluation import statistics
from rlhf_jax.evaluation.samples import prompt_groups
from rlhf_jax.types import Prompt

RESAMPLES = 2_000  # For the interval of kappa.


class LabelledPair(NamedTuple):
  """Two responses to a prompt, and whom people or a strong model preferred.

  Attributes:
    prompt: what was asked.
    first: a response.
    second: another one.
    label: credit of the first: 1 where it is better, 0 worse, ½ a tie.
    models: who gave the first, and the second; () where that is not known.
  """

  prompt: Prompt
  first: str
  second: str
  label: float
  models: tuple[str, ...] = ()


class Position(NamedTuple):
  """How far the order of two responses sways a judge.

  Attributes:
    same: share of pairs with the same verdict in both orders, of those that
      have one in both; None where there is no such pair.
    first: the credit of whatever is shown first; ½ without a bias. None where
      there is no verdict.
  """

  same: statistics.Estimate | None
  first: statistics.Estimate | None


class Agreement(NamedTuple):
  """A judge measured on labelled pairs, each asked in both orders.

  Attributes:
    accuracy: share right of what was asked about pairs whose label is no tie;
      a verdict of a tie counts ½. The mean over both orders.
    kappa: Cohen's, of wins, ties and losses, of all pairs, in both orders; 0 is
      chance and 1 the labels themselves.
    same: share of pairs with the same verdict in both orders; None where the
      judge was asked about none.
    first: the credit of whatever is shown first; ½ without a bias. None
      likewise.
    count: pairs with a verdict in both orders.
    ties: pairs among them whose label is a tie.
    unread: pairs without a verdict in one order or both, left out of the above.
  """

  accuracy: statistics.Estimate
  kappa: statistics.Estimate
  same: statistics.Estimate | None
  first: statistics.Estimate | None
  count: int
  ties: int
  unread: int


def measure(
  credits: np.ndarray,
  labels: np.ndarray,
  prompts: Sequence[Prompt],
  *,
  asked: np.ndarray | None = None,
) -> Agreement:
  """Measures verdicts on N labelled pairs.

  Args:
    credits: [N, 2] of the first responses, in [0, 1], NaN without a verdict:
      shown first, and shown second, as of `orders.both`.
    labels: [N] 1, 0, or ½ for a tie.
    prompts: N prompts; pairs of an equal prompt are one cluster.
    asked: [N] bool, which pairs were put to the judge; None for all. Others, as
      a coin decides them, say nothing of how the order sways it.

  Raises:
    ValueError: no pair has a verdict in both orders, or all labels are ties.
  """
  found = ~np.isnan(credits).any(axis=1)
  decided = found & (labels != 0.5)
  if not decided.any():
    raise ValueError(
      'no pair has both a label that is no tie and a verdict in both orders, '
      'so there is nothing to agree on'
    )
  groups = prompt_groups(prompts)
  said = verdicts(credits)
  right = 1.0 - np.abs(said - labels[:, None]).mean(axis=1)
  known, groups_known = said[found], groups[found]
  shown = (
    credits if asked is None else np.where(asked[:, None], credits, np.nan)
  )
  swayed = position(shown[found], [prompts[i] for i in np.flatnonzero(found)])
  return Agreement(
    accuracy=statistics.share(right[decided], groups[decided]),
    kappa=statistics.bootstrapped(
      functools.partial(cohens_kappa, known, labels[found]),
      groups_known,
      resamples=RESAMPLES,
    ),
    same=swayed.same,
    first=swayed.first,
    count=int(found.sum()),
    ties=int(np.sum(found & ~decided)),
    unread=int(np.sum(~found)),
  )


def verdicts(credits: np.ndarray) -> np.ndarray:
  """Wins (1), losses (0) and ties (½) that credits of any shape are."""
  return (np.sign(credits - 0.5) + 1) / 2


def position(credits: np.ndarray, prompts: Sequence[Prompt]) -> Position:
  """Measures verdicts on N pairs, asked in both orders or in one.

  Args:
    credits: [N, 2] as of `measure`; NaN also where an order was not asked.
    prompts: N.
  """
  groups, asked = prompt_groups(prompts), ~np.isnan(credits)
  both, either = asked.all(axis=1), asked.any(axis=1)
  same = first = None
  if both.any():
    said = verdicts(credits[both])
    alike = (said[:, 0] == said[:, 1]).astype(float)
    same = statistics.share(alike, groups[both])
  if either.any():
    of_first = np.stack([credits[:, 0], 1.0 - credits[:, 1]], axis=1)[either]
    leaning = statistics.mean(np.nanmean(of_first, axis=1), groups[either])
    first = statistics.within_unit(leaning)
  return Position(same, first)


def by_kind(
  credits: np.ndarray,
  labels: Sequence[float],
  prompts: Sequence[Prompt],
  *,
  asked: np.ndarray | None = None,
) -> dict[str, Agreement]:
  """`measure` of all pairs, then of each kind of prompt, if there are several.

  Kinds of which nothing can be measured are left out.

  Raises:
    ValueError: as of `measure`, of all pairs.
  """
  labels = np.asarray(labels, float)
  if asked is None:
    asked = np.ones(len(labels), bool)
  found = {'all': measure(credits, labels, prompts, asked=asked)}
  kinds = np.array([prompt.kind for prompt in prompts])
  several = sorted(set(kinds.tolist()))
  for kind in several if len(several) > 1 else ():
    rows = np.flatnonzero(kinds == kind)
    known = ~np.isnan(credits[rows]).any(axis=1) & (labels[rows] != 0.5)
    if known.any():
      own = [prompts[row] for row in rows]
      found[kind or 'of no kind'] = measure(
        credits[rows], labels[rows], own, asked=asked[rows]
      )
  return found


def cohens_kappa(
  verdicts: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
  """[F] kappas of verdicts [N, 2] with labels [N], weighted by rows of [F, N].

  Each pair also counts the other way round, so that wins and losses are equally
  many: with shares of ties v and l, chance agrees on (1 − v)(1 − l)/2 + v l.

  Source: Cohen 1960, of the table made symmetric.
  """
  share = weights / weights.sum(axis=1, keepdims=True)
  agreed = share @ (verdicts == labels[:, None]).mean(axis=1)
  ties = share @ (verdicts == 0.5).mean(axis=1)
  tied = share @ (labels == 0.5).astype(float)
  chance = (1 - ties) * (1 - tied) / 2 + ties * tied
  # Where all are ties chance agrees always, and nothing is above it.
  room = np.where(chance < 1.0, 1.0 - chance, np.inf)
  return (agreed - chance) / room
