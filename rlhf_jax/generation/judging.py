"""Judges of sampled texts: a reward model, a ranker that reads two, a person.

A judge takes prompts, a list of different texts to each, and the tools of a
dataset stage, and says what each text is worth and which of two it prefers.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlhf_jax.generation import pairing
from rlhf_jax.types import Comparison, Prompt, Reward

MOST_LOG_ODDS = float(np.log(1e4))


class Judged(NamedTuple):
  """What a judge says of the texts of some prompts.

  Attributes:
    scores: for each prompt, [N] worths of its texts, in reward units.
    prefer: for each prompt, matches (i, j) -> whether i is preferred.
    by_scores: whether that is what the scores say. If not, two of equal score
      are no tie, and the winner may have the lower one.
  """

  scores: list[np.ndarray]
  prefer: list[pairing.Prefer]
  by_scores: bool


Judge = Callable[[Sequence[Prompt], Sequence[Sequence[str]], Any], Judged]


def by_reward(
  prompts: Sequence[Prompt], texts: Sequence[Sequence[str]], tools: Any
) -> Judged:
  """The frozen reward scores each text, and prefers the higher score."""
  scores = tools.score(
    [Comparison(*pair) for pair in zip(prompts, map(tuple, texts), strict=True)]
  )
  return Judged(scores, [pairing.by_score(row) for row in scores], True)


def by_ranker(
  prompts: Sequence[Prompt], texts: Sequence[Sequence[str]], tools: Any
) -> Judged:
  """The frozen ranker compares two texts; each is worth its log-odds against
  the first one, a random sample, which is worth 0.

  Log-odds are clipped to ±log 10⁴, or a ranker that is too sure would make
  rejection sampling take the best alone.

  Source: Liu et al. 2024 (RSO), §3.1.
  """
  asked = [
    Comparison(prompt, (text, listed[0]))
    for prompt, listed in zip(prompts, texts, strict=True)
    for text in listed[1:]
  ]
  odds = np.clip(tools.prefer(asked), -MOST_LOG_ODDS, MOST_LOG_ODDS)
  ends = np.cumsum([len(listed) - 1 for listed in texts])[:-1]
  scores = [np.append(0.0, row) for row in np.split(odds, ends)]

  def preferring(prompt, listed):
    def prefer(matches):
      pairs = [Comparison(prompt, (listed[i], listed[j])) for i, j in matches]
      return [bool(x > 0) for x in tools.prefer(pairs)]

    return prefer

  pairs = zip(prompts, texts, strict=True)
  return Judged(scores, [preferring(*pair) for pair in pairs], False)


def by_annotator(
  prompts: Sequence[Prompt],
  texts: Sequence[Sequence[str]],
  tools: Any,
  *,
  annotate: Callable[[Prompt, str, str, int], bool],
) -> Judged:
  """A person compares two texts; each is worth how many others it beats.

  Args:
    prompts, texts, tools: as of every judge.
    annotate: (prompt, a, b, seed) -> whether a is preferred.
  """
  prefer = [
    _annotating(*asked, annotate)
    for asked in zip(prompts, texts, tools.seeds, strict=True)
  ]
  scores = []
  for listed, preferring in zip(texts, prefer, strict=True):
    met = list(itertools.combinations(range(len(listed)), 2))
    winners = [winner for winner, _ in pairing.play(met, preferring)]
    wins = np.bincount(np.array(winners, int), minlength=len(listed))
    scores.append(wins.astype(np.float32))
  return Judged(scores, prefer, False)


def _annotating(prompt, listed, seed, annotate) -> pairing.Prefer:
  """The same answer whenever two texts meet, in whichever order."""

  def first_wins(i, j):
    drawn = np.random.SeedSequence([seed, i, j]).generate_state(1)
    return bool(annotate(prompt, listed[i], listed[j], int(drawn[0])))

  return lambda matches: [
    first_wins(i, j) if i < j else not first_wins(j, i) for i, j in matches
  ]


# The role of the frozen stage that a judge asks.
ROLES = {by_reward: 'reward', by_ranker: 'ranker'}


def frozen(judge: Judge, stage: str | Reward) -> dict[str, str | Reward]:
  """What a stage freezes for a judge: {role: stage}, or nothing for people."""
  return {ROLES[judge]: stage} if judge in ROLES else {}
