"""Pairs of candidates by matches: neighbours, or a tournament.

Host-level, on candidate numbers, so that `prefer` may be a reward model's
scores, a pairwise ranker or a judge. It is called once a round, with all
matches (i, j), and says of each whether i is better, or None without a verdict.

Source: Liu et al. 2024 (RSO), first-round-rank and tournament-rank.
"""

from collections.abc import Callable, Sequence

Match = tuple[int, int]
Prefer = Callable[[list[Match]], Sequence[bool | None]]


def first_round(count: int) -> list[Match]:
  """Neighbours (0, 1), (2, 3) and so on; the last of an odd count sits out."""
  return [(i, i + 1) for i in range(0, count - 1, 2)]


def play(matches: list[Match], prefer: Prefer) -> list[Match]:
  """The matches with a verdict as (winner, loser), in their order.

  Raises:
    ValueError: `prefer` answers for another number of matches.
  """
  if not matches:
    return []
  decisions = prefer(matches)
  if len(decisions) != len(matches):
    raise ValueError(f'{len(decisions)} decisions for {len(matches)} matches')
  return [
    (i, j) if first else (j, i)
    for (i, j), first in zip(matches, decisions, strict=True)
    if first is not None
  ]


def tournament(count: int, prefer: Prefer) -> list[Match]:
  """Single elimination: the (winner, loser) of all count − 1 matches, in order.

  Winners play the next round, neighbours against each other, until one is left;
  the last of an odd number goes on without a match. A match without a verdict
  has no winner.
  """
  standing, played = list(range(count)), []
  while len(standing) > 1:
    matches = [
      (standing[i], standing[j]) for i, j in first_round(len(standing))
    ]
    results = play(matches, prefer)
    resting = standing[2 * len(matches) :]
    standing = [winner for winner, _ in results] + resting
    played += results
  return played


def by_score(scores: Sequence[float]) -> Prefer:
  """Prefers the larger score, and the first of the two where they are equal."""
  return lambda matches: [scores[i] >= scores[j] for i, j in matches]


def decisive(matches: list[Match], scores: Sequence[float]) -> list[Match]:
  """The matches of two whose scores differ."""
  return [(i, j) for i, j in matches if scores[i] != scores[j]]
