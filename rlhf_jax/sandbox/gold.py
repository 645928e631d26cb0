"""What a response is truly worth: five attributes, and their sum.

The attributes are whole numbers from 0 to 4. The gold reward is

  0.4 · correctness + 0.2 · helpfulness + 0.15 · politeness + 0.25 · coherence
  − 0.2 · (levels of verbosity away from what the style asks for) − 2,

in units of an annotator's log-odds: a response one better than another is
preferred with odds e to 1 by an annotator of temperature 1.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.sandbox import grammar, questions
from rlhf_jax.types import Prompt

WEIGHTS = {
  'correctness': 0.3,
  'helpfulness': 0.3,
  'politeness': 0.4,
  'coherence': 0.4,
}
VERBOSITY_COST = 0.3
OFFSET = -3.0
KINDNESS = (2, 3, 4, 2, 0)  # Politeness of 0, 1, 2 … kind phrases: flattery.
VERBOSITY_BOUNDS = (4, 8, 13, 17)  # Most words of levels 0 to 3.
WANTED_VERBOSITY = {'brief': (0, 1), 'full': (2, 3)}  # Lowest and highest.


class Attributes(NamedTuple):
  """Five ratings of a response, each a whole number from 0 to 4."""

  correctness: int
  helpfulness: int
  verbosity: int
  politeness: int
  coherence: int


def _clip(level: int) -> int:
  return max(0, min(4, level))


def _correctness(answer: str, stated: frozenset[str]) -> int:
  if stated == {answer}:
    return 4
  return 1 if answer in stated and len(stated) == 2 else 0


def _helpfulness(
  asked: questions.Asked, parts: grammar.Parts, right: bool
) -> int:
  answers, reasons = parts.of(grammar.ANSWER), parts.of(grammar.REASON)
  if not answers:
    return 0
  supported = any(asked.question.kind in part.phrase.kinds for part in reasons)
  wish_met = supported if asked.style == 'full' else not reasons
  plain = not any(part.phrase.hedged for part in answers)
  excuses = sum(not part.phrase.kinds for part in reasons)
  return _clip(1 + plain + 2 * (right and wish_met) - excuses)


def _verbosity(words: int) -> int:
  return sum(words > bound for bound in VERBOSITY_BOUNDS)


def _politeness(parts: grammar.Parts) -> int:
  tones = [part.phrase.tone for part in parts.parts if part.phrase]
  kind = KINDNESS[min(tones.count(1), len(KINDNESS) - 1)]
  return _clip(kind - 2 * tones.count(-1))


def _coherence(parts: grammar.Parts, stated: frozenset[str]) -> int:
  order = [grammar.OPENER, grammar.ANSWER, grammar.REASON, grammar.CLOSER]
  whole = [part for part in parts.parts if part.phrase]
  ranks = [order.index(part.form) for part in whole]
  surplus = sum(
    max(0, ranks.count(rank) - most) for rank, most in enumerate((1, 1, 1, 2))
  )
  broken = len(parts.parts) - len(whole)
  repeated = len(whole) - len({part.phrase for part in whole})
  contradictory = len(stated) > 1
  if not parts.parts:
    return 0
  return _clip(
    4
    - surplus
    - repeated
    - 2 * broken
    - 2 * contradictory
    - (ranks != sorted(ranks))
  )


def attributes(prompt: Prompt, response: str) -> Attributes:
  """Rates any text as a response to one of the world's prompts."""
  asked, parts = questions.read(prompt), grammar.parse(response)
  stated = frozenset(word for part in parts.parts for word in part.answers)
  correctness = _correctness(asked.question.answer, stated)
  return Attributes(
    correctness=correctness,
    helpfulness=_helpfulness(asked, parts, correctness == 4),
    verbosity=_verbosity(parts.words),
    politeness=_politeness(parts),
    coherence=_coherence(parts, stated),
  )


def combine(rated: Attributes, style: str) -> float:
  """The gold reward of a response so rated, in reward units."""
  low, high = WANTED_VERBOSITY[style]
  away = max(low - rated.verbosity, rated.verbosity - high, 0)
  worth = sum(weight * getattr(rated, name) for name, weight in WEIGHTS.items())
  return worth - VERBOSITY_COST * away + OFFSET


def gold(prompts: Sequence[Prompt], responses: Sequence[str]) -> np.ndarray:
  """[N] float32 gold rewards of N prompts and their responses."""
  return np.array(
    [
      combine(attributes(prompt, response), questions.read(prompt).style)
      for prompt, response in zip(prompts, responses, strict=True)
    ],
    np.float32,
  )
