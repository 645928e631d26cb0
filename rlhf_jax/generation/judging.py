"""Judges of sampled texts: a reward model, or a ranker that reads two at once.

A judge takes prompts, a list of different texts to each, and the tools of a
dataset stage, and says what each text is worth and which of two it prefers.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlhf_jax.generation import pairing
from rlhf_jax.types import Comparison, Prompt

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


def role(judge: Judge) -> str:
  """The role of the frozen stage that a judge asks."""
  return 'ranker' if judge is by_ranker else 'reward'
