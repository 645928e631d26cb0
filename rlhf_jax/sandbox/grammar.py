"""How responses are built, and how any text is read back into its parts.

A response is an optional opener, an answer, an optional reason and closers:
`sure , the answer is 8 . because counting gives 8 . hope that helps .`
An opener ends with a comma, everything else with a full stop; `_` in a phrase
is where an answer word stands. Whatever fits no phrase is a broken part, so
every text can be read.
"""

from collections.abc import Iterable
from typing import NamedTuple

from rlhf_jax.sandbox.questions import ANSWER_WORDS

OPENER, ANSWER, REASON, CLOSER, BROKEN = (
  'opener',
  'answer',
  'reason',
  'closer',
  'broken',
)


class Phrase(NamedTuple):
  """A phrase of the language.

  Attributes:
    form: opener, answer, reason or closer.
    pattern: its words, without the mark that ends it.
    tone: 1 kind, 0 plain, -1 rude.
    hedged: True for an answer that does not commit itself.
    kinds: for a reason, the kinds of question that it can support.
  """

  form: str
  pattern: str
  tone: int = 0
  hedged: bool = False
  kinds: tuple[str, ...] = ()


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
  Phrase(
    REASON, 'because counting gives _', kinds=('sum', 'difference', 'compare')
  ),
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
MARKS = {OPENER: ',', ANSWER: '.', REASON: '.', CLOSER: '.'}
_BY_PATTERN = {
  (phrase.pattern, MARKS[phrase.form]): phrase for phrase in PHRASES
}


class Part(NamedTuple):
  """A phrase as it was used.

  Attributes:
    form: the phrase's, or broken.
    phrase: which it is; None for a broken part.
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

  parts: tuple[Part, ...]
  words: int

  def of(self, form: str) -> tuple[Part, ...]:
    """Its parts of one form, in order."""
    return tuple(part for part in self.parts if part.form == form)


def phrases(form: str) -> tuple[Phrase, ...]:
  """All phrases of a form."""
  return tuple(phrase for phrase in PHRASES if phrase.form == form)


def say(phrase: Phrase, *answers: str) -> str:
  """A phrase with its answers filled in and the mark that ends it."""
  filled = iter(answers)
  words = [
    next(filled) if word == '_' else word for word in phrase.pattern.split()
  ]
  return ' '.join([*words, MARKS[phrase.form]])


def _part(words: Iterable[str], mark: str) -> Part:
  pattern = ' '.join('_' if word in ANSWER_WORDS else word for word in words)
  phrase = _BY_PATTERN.get((pattern, mark))
  return Part(
    BROKEN if phrase is None else phrase.form,
    phrase,
    tuple(word for word in words if word in ANSWER_WORDS),
  )


def parse(text: str) -> Parts:
  """Reads any text into its parts; words after the last mark are broken."""
  words, parts, begun = text.split(), [], []
  for word in words:
    if word in (',', '.'):
      parts.append(_part(begun, word))
      begun = []
    else:
      begun.append(word)
  if begun:
    parts.append(_part(begun, ''))
  return Parts(tuple(parts), len(words))
