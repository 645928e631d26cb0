"""The true reward of a response: five attributes, and one number from them.

The attributes are whole numbers from 0 to 4. The gold reward is

  0.3 · correctness + 0.3 · helpfulness + 0.4 · politeness + 0.4 · coherence
  − 0.3 · (levels of verbosity away from what the style asks for) − 3,

in units of an annotator's log-odds: of two responses, one better by 1 is
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
# Politeness of 0, 1, 2 … kind phrases: two are the best, more is flattery.
KINDNESS = (2, 3, 4, 2, 0)
# The most words that levels 0 to 3 of verbosity have.
VERBOSITY_BOUNDS = (4, 8, 13, 17)
# The lowest and the highest level that a style asks for.
WANTED_VERBOSITY = {'brief': (0, 1), 'full': (2, 3)}
# How many parts of each form a response can have before it rambles.
MOST = {
  grammar.OPENER: 1,
  grammar.ANSWER: 1,
  grammar.REASON: 1,
  grammar.CLOSER: 2,
}


class Attributes(NamedTuple):
  """Five ratings of a response, each a whole number from 0 to 4."""

  correctness: int
  helpfulness: int
  verbosity: int
  politeness: int
  coherence: int


def attributes(prompt: Prompt, response: str) -> Attributes:
  """Rates any text as a response to one of the world's prompts."""
  asked, parts = questions.read(prompt), grammar.parse(response)
  correctness = rate_correctness(asked.question.answer, parts)
  return Attributes(
    correctness=correctness,
    helpfulness=rate_helpfulness(asked, parts, correctness == 4),
    verbosity=sum(parts.words > bound for bound in VERBOSITY_BOUNDS),
    politeness=rate_politeness(parts),
    coherence=rate_coherence(parts),
  )


def rate_correctness(answer: str, parts: grammar.Parts) -> int:
  """4 for the right answer alone, 1 for it and one other, 0 otherwise."""
  stated = set(parts.answers)
  if stated == {answer}:
    return 4
  return 1 if answer in stated and len(stated) == 2 else 0


def rate_helpfulness(
  asked: questions.StyledQuestion, parts: grammar.Parts, right: bool
) -> int:
  """1 for answering, 1 for committing to it, 2 for a right one in the style.

  A brief response gives no reason; a full one gives a reason that fits the kind
  of question. Each excuse costs 1.
  """
  answers, reasons = parts.of(grammar.ANSWER), parts.of(grammar.REASON)
  if not answers:
    return 0
  committed = not any(part.phrase.hedged for part in answers)
  fitting = any(asked.question.kind in part.phrase.kinds for part in reasons)
  as_asked = fitting if asked.style == 'full' else not reasons
  excuses = sum(not part.phrase.kinds for part in reasons)
  return clip(1 + committed + 2 * (right and as_asked) - excuses)


def rate_politeness(parts: grammar.Parts) -> int:
  """`KINDNESS` of the number of kind phrases, 2 less for each rude one."""
  tones = [part.phrase.tone for part in parts.parts if part.phrase]
  kind = min(tones.count(1), len(KINDNESS) - 1)
  return clip(KINDNESS[kind] - 2 * tones.count(-1))


def rate_coherence(parts: grammar.Parts) -> int:
  """4, less its faults; 0 for no text.

  Each part beyond the `MOST` of its form and each repeated phrase costs 1, each
  broken part 2, different answer words 2, parts out of order 1.
  """
  whole = [part for part in parts.parts if part.phrase]
  forms = [part.form for part in whole]
  surplus = sum(max(0, forms.count(form) - most) for form, most in MOST.items())
  repeated = len(whole) - len({part.phrase for part in whole})
  broken = len(parts.parts) - len(whole)
  contradictory = len(set(parts.answers)) > 1
  disordered = forms != sorted(forms, key=grammar.FORMS.index)
  faults = surplus + repeated + 2 * broken + 2 * contradictory + disordered
  return clip(4 - faults) if parts.parts else 0


def clip(level: int) -> int:
  """The nearest level from 0 to 4."""
  return max(0, min(4, level))


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
