"""Judges of sampled texts: a reward model, a ranker that reads two, a person.

A judge takes prompts, a list of different texts to each, and the queries of a
dataset stage. It gives each text a score, and prefers one of two.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlhf_jax.feedback import pairing, scoring
from rlhf_jax.types import Comparison, Prompt

MOST_LOG_ODDS = float(np.log(1e4))


class Judgements(NamedTuple):
  """A judge's scores and preferences among the texts of some prompts.

  Attributes:
    scores: for each prompt, [N] scores of its texts, in reward units; NaN of a
      text that could not be judged.
    prefer: for each prompt, matches (i, j) -> whether i is preferred, or None
      without a verdict.
    by_scores: whether `prefer` compares the scores. If not, equal scores are no
      tie, and the winner may have the lower score.
  """

  scores: list[np.ndarray]
  prefer: list[pairing.Prefer]
  by_scores: bool


Judge = Callable[[Sequence[Prompt], Sequence[Sequence[str]], Any], Judgements]


class Candidates(NamedTuple):
  """The texts of a prompt that a judge could judge: N of them.

  Attributes:
    texts: N.
    scores: [N], finite.
    prefer: matches (i, j) of these -> whether i is preferred, or None.
  """

  texts: tuple[str, ...]
  scores: np.ndarray
  prefer: pairing.Prefer


def candidates(
  texts: Sequence[Sequence[str]], judged: Judgements
) -> list[Candidates]:
  """The texts of each prompt that have a score, with their preferences."""
  found = []
  for listed, scores, prefer in zip(
    texts, judged.scores, judged.prefer, strict=True
  ):
    places = np.flatnonzero(np.isfinite(scores)).tolist()

    def among(matches, places=places, prefer=prefer):
      return prefer([(places[i], places[j]) for i, j in matches])

    kept = tuple(listed[i] for i in places)
    found.append(Candidates(kept, np.asarray(scores)[places], among))
  return found


def by_reward(
  prompts: Sequence[Prompt], texts: Sequence[Sequence[str]], queries: Any
) -> Judgements:
  """The frozen reward scores each text, and prefers the higher score."""
  scores = queries.score(
    [Comparison(*pair) for pair in zip(prompts, map(tuple, texts), strict=True)]
  )
  return Judgements(scores, [pairing.by_score(row) for row in scores], True)


def by_ranker(
  prompts: Sequence[Prompt], texts: Sequence[Sequence[str]], queries: Any
) -> Judgements:
  """The frozen ranker compares two texts; scores are log-odds over the first.

  The first text is a random sample, and its score is 0.

  Log-odds are clipped to ±log 10⁴: with larger ones rejection sampling would
  take the best text alone.

  Source: Liu et al. 2024 (RSO), §3.1.
  """
  asked = [
    Comparison(prompt, (text, listed[0]))
    for prompt, listed in zip(prompts, texts, strict=True)
    for text in listed[1:]
  ]
  odds = np.clip(queries.prefer(asked), -MOST_LOG_ODDS, MOST_LOG_ODDS)
  ends = np.cumsum([len(listed) - 1 for listed in texts])[:-1]
  scores = [np.append(0.0, row) for row in np.split(odds, ends)]

  def preferring(prompt, listed):
    def prefer(matches):
      pairs = [Comparison(prompt, (listed[i], listed[j])) for i, j in matches]
      odds = queries.prefer(pairs)
      return [bool(x > 0) if np.isfinite(x) else None for x in odds]

    return prefer

  pairs = zip(prompts, texts, strict=True)
  return Judgements(scores, [preferring(*pair) for pair in pairs], False)


def by_annotator(
  prompts: Sequence[Prompt],
  texts: Sequence[Sequence[str]],
  queries: Any,
  *,
  annotate: Callable[[Prompt, str, str, int], bool],
) -> Judgements:
  """A person compares two texts; a text's score is how many others it beats.

  A text without any verdict has no score.

  Args:
    prompts, texts, queries: as of every judge.
    annotate: (prompt, a, b, seed) -> whether a is preferred, or None where it
      cannot say.
  """
  prefer = [
    _annotating(*asked, annotate)
    for asked in zip(prompts, texts, queries.seeds, strict=True)
  ]
  scores = []
  for listed, preferring in zip(texts, prefer, strict=True):
    met = list(itertools.combinations(range(len(listed)), 2))
    played = np.array(pairing.play(met, preferring), int).reshape(-1, 2)
    wins, verdicts = (
      np.bincount(places.reshape(-1), minlength=len(listed))
      for places in (played[:, 0], played)
    )
    # A single text met no other, and has a score of 0.
    known = (verdicts > 0) | (len(listed) == 1)
    scores.append(np.where(known, wins, np.nan).astype(np.float32))
  return Judgements(scores, prefer, False)


def _annotating(prompt, listed, seed, annotate) -> pairing.Prefer:
  """Prefers by `annotate`, alike for (i, j) and (j, i)."""

  def first_wins(i, j):
    drawn = np.random.SeedSequence([seed, i, j]).generate_state(1)
    return scoring.verdict(
      annotate, prompt, listed[i], listed[j], int(drawn[0])
    )

  def prefer(matches):
    verdicts = [first_wins(min(m), max(m)) for m in matches]
    return [
      said if said is None or i < j else not said
      for (i, j), said in zip(matches, verdicts, strict=True)
    ]

  return prefer


# The role of the frozen stage that a judge asks.
ROLES = {by_reward: 'reward', by_ranker: 'ranker'}


def asked(config: Any, sources: Mapping[str, Any]) -> dict[str, Any]:
  """The `policy` and `frozen` arguments of a stage of pairs.

  Args:
    config: of the stage, with its `judge`.
    sources: the earlier stages: 'policy', and 'judge', which may be a Reward.
  """
  role = ROLES.get(config.judge)
  frozen = {} if role is None else {role: sources['judge']}
  return {'policy': sources['policy'], 'frozen': frozen}
