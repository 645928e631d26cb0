"""What can be asked: short questions whose answers are known.

A prompt is a question in a wording and a style, for example
`what is 6 plus 2 ? brief`: the question is `6 plus 2`, the wording
`what is … ?` and the style `brief`. Every question is asked in every wording
and style.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from rlhf_jax.types import Message, Prompt

WORDINGS = ('what is _ ?', 'tell me _ .', 'please find _ .', 'i need _ .')
STYLES = ('brief', 'full')

DIGITS = tuple('0123456789')
LETTERS = tuple('klmnopqrst')
COLOURS = ('red', 'blue', 'green', 'black', 'white', 'pink')
OPPOSITES = (
  ('hot', 'cold'),
  ('big', 'small'),
  ('fast', 'slow'),
  ('old', 'new'),
  ('open', 'shut'),
  ('wet', 'dry'),
)
QUALITIES = tuple(word for pair in OPPOSITES for word in pair)
ANSWER_WORDS = frozenset(DIGITS + LETTERS + COLOURS + QUALITIES)


class Question(NamedTuple):
  """A question and what people answer to it.

  Attributes:
    kind: one of `KINDS`.
    text: its words, without wording and style.
    answer: the right answer, one word.
    tempting: the wrong answer that people fall for.
    pool: every word that such a question could have for an answer.
    difficulty: in (0, 1), evenly spread over the questions of a kind.
  """

  kind: str
  text: str
  answer: str
  tempting: str
  pool: tuple[str, ...]
  difficulty: float = 0.5


class Asked(NamedTuple):
  """What a prompt asks."""

  question: Question
  style: str


def _sums() -> Iterable[Question]:
  for a in range(10):
    for b in range(10 - a):
      near = a + b - 1 if a + b == 9 else a + b + 1
      yield Question('sum', f'{a} plus {b}', str(a + b), str(near), DIGITS)


def _differences() -> Iterable[Question]:
  for a in range(10):
    for b in range(a + 1):
      near = a - b - 1 if a - b == 9 else a - b + 1
      yield Question(
        'difference', f'{a} minus {b}', str(a - b), str(near), DIGITS
      )


def _comparisons() -> Iterable[Question]:
  """Digits close to each other: at most three apart."""
  for a in range(10):
    for b in range(10):
      if 0 < abs(a - b) <= 3:
        low, high = str(min(a, b)), str(max(a, b))
        yield Question(
          'compare', f'the larger of {a} and {b}', high, low, DIGITS
        )
        yield Question(
          'compare', f'the smaller of {a} and {b}', low, high, DIGITS
        )


def _lists() -> Iterable[Question]:
  for a in COLOURS:
    for b in COLOURS:
      if a != b:
        yield Question('list', f'the first of {a} and {b}', a, b, COLOURS)
        yield Question('list', f'the last of {a} and {b}', b, a, COLOURS)


def _letters() -> Iterable[Question]:
  for i, letter in enumerate(LETTERS):
    before, after = LETTERS[max(i - 1, 0)], LETTERS[min(i + 1, 9)]
    if after != letter:
      yield Question(
        'letter', f'the letter after {letter}', after, before, LETTERS
      )
    if before != letter:
      yield Question(
        'letter', f'the letter before {letter}', before, after, LETTERS
      )


def _opposites() -> Iterable[Question]:
  for i, pair in enumerate(OPPOSITES):
    near = OPPOSITES[(i + 1) % len(OPPOSITES)]
    for side in (0, 1):
      yield Question(
        'opposite',
        f'the opposite of {pair[side]}',
        pair[1 - side],
        near[1 - side],
        QUALITIES,
      )


_MAKERS = {
  'sum': _sums,
  'difference': _differences,
  'compare': _comparisons,
  'list': _lists,
  'letter': _letters,
  'opposite': _opposites,
}
KINDS = tuple(_MAKERS)


@functools.cache
def questions() -> tuple[Question, ...]:
  """Every question, in a fixed order, each with its difficulty."""
  found = []
  for seed, make in enumerate(_MAKERS.values()):
    of_kind = list(make())
    ranks = np.random.default_rng(seed).permutation(len(of_kind))
    found += [
      question._replace(difficulty=(float(rank) + 0.5) / len(of_kind))
      for question, rank in zip(of_kind, ranks, strict=True)
    ]
  return tuple(found)


def ask(question: Question, wording: str, style: str) -> Prompt:
  """The prompt that asks a question in a wording and a style."""
  text = f'{wording.replace("_", question.text)} {style}'
  return Prompt((Message('user', text),), kind=question.kind)


@functools.cache
def _by_text() -> Mapping[str, Asked]:
  return {
    ask(question, wording, style).text: Asked(question, style)
    for question in questions()
    for wording in WORDINGS
    for style in STYLES
  }


def read(prompt: Prompt) -> Asked:
  """What a prompt asks. Raises ValueError where it is none of the world's."""
  try:
    return _by_text()[prompt.text]
  except KeyError:
    raise ValueError(
      f'the sandbox knows no prompt {prompt.text!r}: its prompts are made by'
      ' sandbox.questions.ask'
    ) from None
