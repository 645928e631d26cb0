"""Authors of responses, each given by a few probabilities."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from rlhf_jax.sandbox import grammar, questions
from rlhf_jax.types import Prompt
from rlhf_jax.types.rules import Share
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Author:
  """How someone writes, as probabilities.

  Attributes:
    right: of knowing the answer, on average over the questions of a kind.
    spread: by how much the easiest question is likelier, and the hardest less
      likely, to be answered right.
    tempted: when wrong, of giving the question's tempting answer; otherwise
      any other wrong word of its pool, all alike.
    hedged: of not committing to the answer.
    opener: of an opener.
    rude: of being rude, which shows in opener and closers.
    reason_brief: of a reason where the style is brief.
    reason_full: of a reason where the style is full.
    excuse: that a reason is none (`because i say so`).
    closers: of no closer, of one, of two …, all different.
    slip: of a mishap: a reason that gives another answer, or without a reason
      a text cut short.
  """

  right: Share
  spread: Share
  tempted: Share
  hedged: Share
  opener: Share
  rude: Share
  reason_brief: Share
  reason_full: Share
  excuse: Share
  closers: tuple[Share, ...]
  slip: Share

  def __post_init__(self):
    if self.spread > min(self.right, 1.0 - self.right):
      raise ValueError(
        f'spread is {self.spread}, which takes the chance of a right answer'
        f' out of [0, 1] on both sides of right = {self.right}'
      )

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


def compose(author: Author, prompt: Prompt, seed: int | Sequence[int]) -> str:
  """What an author responds to a prompt; the same for the same seed."""
  rng = np.random.default_rng(seed)
  question, style = questions.read(prompt)
  answer = _answer(rng, author, question)
  rude = rng.random() < author.rude
  slipped = rng.random() < author.slip
  reason = author.reason_full if style == 'full' else author.reason_brief

  said = []
  if rng.random() < author.opener:
    said += _courtesies(rng, grammar.OPENER, rude, 1)
  said.append(_statement(rng, author, question, answer))
  if rng.random() < reason:
    meant = _other(rng, question, answer) if slipped else answer
    said.append(_reason(rng, author, question, meant))
    slipped = False
  count = int(np.searchsorted(np.cumsum(author.closers), rng.random()))
  said += _courtesies(rng, grammar.CLOSER, rude, count)
  words = ' '.join(said).split()
  if slipped:
    words = words[: rng.integers(1, len(words))]
  return ' '.join(words)


def _answer(rng, author, question):
  if rng.random() < author.chance_right(question):
    return question.answer
  if rng.random() < author.tempted:
    return question.tempting
  return _other(rng, question, question.answer, question.tempting)


def _other(rng, question, *excluded):
  return _one_of(rng, [w for w in question.pool if w not in excluded])


def _statement(rng, author, question, answer):
  hedged = rng.random() < author.hedged
  phrases = [p for p in grammar.phrases(grammar.ANSWER) if p.hedged == hedged]
  return grammar.say(
    _one_of(rng, phrases), answer, _other(rng, question, answer)
  )


def _reason(rng, author, question, answer):
  excuse = rng.random() < author.excuse
  phrases = [
    p
    for p in grammar.phrases(grammar.REASON)
    if (not p.kinds if excuse else question.kind in p.kinds)
  ]
  return grammar.say(_one_of(rng, phrases), answer)


def _courtesies(rng, form, rude, count):
  phrases = [p for p in grammar.phrases(form) if (p.tone < 0) == rude]
  return [
    grammar.say(phrases[i]) for i in rng.permutation(len(phrases))[:count]
  ]


def _one_of(rng, choices):
  return choices[rng.integers(len(choices))]
