"""People who answer, each described by a handful of probabilities."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from rlhf_jax.sandbox import grammar, questions
from rlhf_jax.types import Prompt


@dataclasses.dataclass(frozen=True, kw_only=True)
class Author:
  """How someone writes. All are probabilities unless said otherwise.

  Attributes:
    right: of knowing the answer, averaged over the questions of a kind.
    spread: by how much the easiest question is likelier, and the hardest less
      likely, to be answered right.
    tempted: when wrong, of giving the question's tempting answer; otherwise
      any other wrong word of its pool, all alike.
    hedged: of not committing to an answer.
    opener: of an opener.
    rude: of being rude in opener and closers.
    reason: of a reason, by style.
    excuse: that a reason is no reason (`because i say so`).
    closers: of 0, 1, 2 … closers.
    slip: of a mishap: a reason for another answer, or a text cut short.
  """

  right: float
  spread: float
  tempted: float
  hedged: float
  opener: float
  rude: float
  reason_brief: float
  reason_full: float
  excuse: float
  closers: tuple[float, ...]
  slip: float

  def chance_right(self, question: questions.Question) -> float:
    """The probability that this author knows the answer."""
    return self.right + self.spread * (1.0 - 2.0 * question.difficulty)


DEMONSTRATOR = Author(
  right=0.65,
  spread=0.3,
  tempted=0.4,
  hedged=0.2,
  opener=0.5,
  rude=0.2,
  reason_brief=0.3,
  reason_full=0.5,
  excuse=0.3,
  closers=(0.45, 0.4, 0.15),
  slip=0.05,
)
STRONG = dataclasses.replace(
  DEMONSTRATOR,
  right=0.92,
  spread=0.06,
  hedged=0.05,
  rude=0.0,
  reason_brief=0.05,
  reason_full=0.9,
  excuse=0.05,
  closers=(0.4, 0.6),
  slip=0.01,
)
MEDIUM = dataclasses.replace(
  DEMONSTRATOR,
  right=0.8,
  spread=0.15,
  hedged=0.12,
  rude=0.08,
  reason_brief=0.15,
  reason_full=0.7,
  excuse=0.15,
  closers=(0.45, 0.47, 0.08),
  slip=0.03,
)
WEAK = dataclasses.replace(
  DEMONSTRATOR, right=0.45, spread=0.25, rude=0.35, excuse=0.5, slip=0.1
)


def write(author: Author, prompt: Prompt, seed: Sequence[int]) -> str:
  """What an author responds to a prompt; the same for the same seed."""
  rng = np.random.default_rng(seed)
  asked = questions.read(prompt)
  rude = rng.random() < author.rude
  slipped = rng.random() < author.slip
  answer = _answer(rng, author, asked.question)

  said = []
  if rng.random() < author.opener:
    said.append(_phrase(rng, grammar.OPENER, rude))
  said.append(_statement(rng, author, asked.question, answer))
  reasoned = rng.random() < (
    author.reason_full if asked.style == 'full' else author.reason_brief
  )
  if reasoned:
    said.append(_reason(rng, author, asked.question, answer, slipped))
  for _ in range(rng.choice(len(author.closers), p=author.closers)):
    said.append(_phrase(rng, grammar.CLOSER, rude))
  words = ' '.join(said).split()
  if slipped and not reasoned:
    words = words[: rng.integers(1, len(words))]
  return ' '.join(words)


def _answer(rng, author, question):
  if rng.random() < author.chance_right(question):
    return question.answer
  if rng.random() < author.tempted:
    return question.tempting
  return _other(rng, question, (question.answer, question.tempting))


def _other(rng, question, excluded):
  return str(rng.choice([w for w in question.pool if w not in excluded]))


def _statement(rng, author, question, answer):
  hedged = rng.random() < author.hedged
  choices = [p for p in grammar.phrases(grammar.ANSWER) if p.hedged == hedged]
  phrase = choices[rng.integers(len(choices))]
  return grammar.say(phrase, answer, _other(rng, question, (answer,)))


def _reason(rng, author, question, answer, slipped):
  excuse = rng.random() < author.excuse
  choices = [
    p
    for p in grammar.phrases(grammar.REASON)
    if (not p.kinds if excuse else question.kind in p.kinds)
  ]
  if slipped:
    answer = _other(rng, question, (answer,))
  return grammar.say(choices[rng.integers(len(choices))], answer)


def _phrase(rng, form, rude):
  choices = [p for p in grammar.phrases(form) if (p.tone < 0) == rude]
  return grammar.say(choices[rng.integers(len(choices))])
