"""The grammar of responses, and parsing any text into its phrases.

A response is an optional opener, an answer, an optional reason and closers:
`sure , the answer is 8 . because counting gives 8 . hope that helps .`
An opener ends with a comma, all else with a full stop; `_` in a phrase is where
an answer word stands. What fits no phrase is a broken part, so that every text
can be read.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

from rlhf_jax.sandbox.questions import ANSWER_WORDS
from rlhf_jax.types import Prompt

OPENER, ANSWER, REASON, CLOSER = 'opener', 'answer', 'reason', 'closer'
FORMS = (OPENER, ANSWER, REASON, CLOSER)  # In the order they should come.
BROKEN = 'broken'
MARKS = {OPENER: ',', ANSWER: '.', REASON: '.', CLOSER: '.'}


class Phrase(NamedTuple):
  """A phrase of the language.

  Attributes:
    form: one of `FORMS`.
    pattern: its words, without the mark that ends it.
    tone: 1 kind, 0 plain, -1 rude.
    hedged: True for an answer that does not commit itself.
    kinds: for a reason, the kinds of question that it can support; an excuse
      supports none.
  """

  form: str
  pattern: str
  tone: int = 0
  hedged: bool = False
  kinds: tuple[str, ...] = ()


NUMBERS = ('sum', 'difference', 'compare')
PHRASES = (
  Phrase(OPENER, 'sure', tone=1),
  Phrase(OPENER, 'gladly', tone=1),
  Phrase(OPENER, 'great question', tone=1),
  Phrase(OPENER, 'well'),
  Phrase(OPENER, 'hmm'),
  Phrase(OPENER, 'duh', tone=-1),
  Phrase(OPENER, 'silly question', tone=-1),
  Phrase(ANSWER, '_'),
  Phrase(ANSWER, 'it is _'),
  Phrase(ANSWER, 'the answer is _'),
  Phrase(ANSWER, 'maybe _', hedged=True),
  Phrase(ANSWER, 'i think _', hedged=True),
  Phrase(ANSWER, '_ or _', hedged=True),
  Phrase(REASON, 'because counting gives _', kinds=NUMBERS),
  Phrase(REASON, 'because the list says _', kinds=('list',)),
  Phrase(REASON, 'because the book says _', kinds=('letter', 'opposite')),
  Phrase(REASON, 'because i say so'),
  Phrase(REASON, 'because why not'),
  Phrase(CLOSER, 'hope that helps', tone=1),
  Phrase(CLOSER, 'ask me anytime', tone=1),
  Phrase(CLOSER, 'have a nice day', tone=1),
  Phrase(CLOSER, 'thanks for asking', tone=1),
  Phrase(CLOSER, 'that is all'),
  Phrase(CLOSER, 'now go away', tone=-1),
  Phrase(CLOSER, 'stop asking', tone=-1),
)
BY_PATTERN = {(p.pattern, MARKS[p.form]): p for p in PHRASES}


class UsedPhrase(NamedTuple):
  """A phrase as it was used.

  Attributes:
    form: the phrase's, or `BROKEN`.
    phrase: which one; None for a broken part.
    answers: the answer words in it, in order.
  """

  form: str
  phrase: Phrase | None
  answers: tuple[str, ...]


class Parts(NamedTuple):
  """A response, read.

  Attributes:
    parts: in order.
    words: how many words and marks it has.
  """

  parts: tuple[UsedPhrase, ...]
  words: int

  def of(self, form: str) -> tuple[UsedPhrase, ...]:
    """Its parts of one form, in order."""
    return tuple(part for part in self.parts if part.form == form)

  @property
  def answers(self) -> tuple[str, ...]:
    """Every answer word in it, in order, in whatever part."""
    return tuple(word for part in self.parts for word in part.answers)


@functools.cache
def phrases(form: str) -> tuple[Phrase, ...]:
  """All phrases of a form."""
  return tuple(phrase for phrase in PHRASES if phrase.form == form)


def say(phrase: Phrase, *answers: str) -> str:
  """A phrase, its blanks filled in order, with the mark that ends it."""
  blanks = iter(answers)
  words = [next(blanks) if w == '_' else w for w in phrase.pattern.split()]
  return ' '.join([*words, MARKS[phrase.form]])


@functools.lru_cache(2**15)  # As texts that a run measures again and again.
def parse(text: str) -> Parts:
  """Reads any text into its parts; what follows the last mark is broken."""
  words = text.split()
  parts, begun = [], []
  for word in words:
    if word in MARKS.values():
      parts.append(part_of(begun, word))
      begun = []
    else:
      begun.append(word)
  if begun:
    parts.append(part_of(begun, ''))
  return Parts(tuple(parts), len(words))


def stated(text: str) -> str | None:
  """The answer words of a text, each once; None where it states none."""
  words = {word for part in parse(text).parts for word in part.answers}
  return ' '.join(sorted(words)) or None


def restated(text: str, other: str) -> str | None:
  """A text with the answer word of another in place of its own.

  None where either states none, or several different ones.
  """
  own, given = stated(text), stated(other)
  if own is None or given is None or ' ' in own or ' ' in given:
    return None
  return ' '.join(given if word == own else word for word in text.split())


def answer_given(prompt: Prompt, response: str) -> str | None:
  """What a response states, as `feedback.similarity.answer` asks for it."""
  del prompt
  return stated(response)


def part_of(words: Sequence[str], mark: str) -> UsedPhrase:
  """The part that words and the mark after them make."""
  pattern = ' '.join('_' if word in ANSWER_WORDS else word for word in words)
  phrase = None if '_' in words else BY_PATTERN.get((pattern, mark))
  answers = tuple(word for word in words if word in ANSWER_WORDS)
  return UsedPhrase(phrase.form if phrase else BROKEN, phrase, answers)
