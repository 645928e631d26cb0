"""The prompts of the world: short questions with known answers.

A prompt is a question in a form, which is a wording and a style. In
`what is 6 plus 2 ? brief` the question is `6 plus 2`, the wording is
`what is _ ?` and the style `brief`. Every question is asked in every form.
"""

import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from rlhf_jax.types import Message, Prompt

WORDINGS = ('what is _ ?', 'tell me _ .', 'please find _ .', 'i need _ .')
STYLES = ('brief', 'full')
FORMS = tuple(itertools.product(WORDINGS, STYLES))

DIGITS = tuple('0123456789')
LETTERS = tuple('klmnopqrst')  # Not `a` and `i`, which are words too.
COLOURS = ('red', 'blue', 'green', 'black', 'white', 'pink')
OPPOSITES = (
  ('hot', 'cold'),
  ('big', 'small'),
  ('fast', 'slow'),
  ('old', 'new'),
  ('open', 'shut'),
  ('wet', 'dry'),
)
QUALITIES = tuple(itertools.chain.from_iterable(OPPOSITES))
ANSWER_WORDS = frozenset(DIGITS + LETTERS + COLOURS + QUALITIES)


class Question(NamedTuple):
  """A question and what people answer to it.

  Attributes:
    kind: one of `KINDS`.
    text: its words, without wording and style.
    answer: the right answer, one word.
    tempting: the most frequent wrong answer.
    pool: the words that an answer to such a question is drawn from.
    difficulty: in (0, 1), evenly spread over the questions of a kind.
  """

  kind: str
  text: str
  answer: str
  tempting: str
  pool: tuple[str, ...]
  difficulty: float = 0.5


class StyledQuestion(NamedTuple):
  """What a prompt asks."""

  question: Question
  style: str


def sums() -> Iterator[Question]:
  """Sums up to 9; one off is tempting."""
  for a, b in itertools.product(range(10), repeat=2):
    if a + b <= 9:
      near = a + b + 1 if a + b < 9 else 8
      yield Question('sum', f'{a} plus {b}', str(a + b), str(near), DIGITS)


def differences() -> Iterator[Question]:
  """Differences from 0 to 9; one off is tempting."""
  for a, b in itertools.product(range(10), repeat=2):
    if a >= b:
      near = a - b + 1 if a - b < 9 else 8
      yield Question(
        'difference', f'{a} minus {b}', str(a - b), str(near), DIGITS
      )


def comparisons() -> Iterator[Question]:
  """The larger or smaller of digits at most three apart."""
  for a, b in itertools.product(range(10), repeat=2):
    if 0 < abs(a - b) <= 3:
      low, high = str(min(a, b)), str(max(a, b))
      larger, smaller = (
        f'the larger of {a} and {b}',
        f'the smaller of {a} and {b}',
      )
      yield Question('compare', larger, high, low, DIGITS)
      yield Question('compare', smaller, low, high, DIGITS)


def lists() -> Iterator[Question]:
  """The first or last of two colours."""
  for a, b in itertools.permutations(COLOURS, 2):
    yield Question('list', f'the first of {a} and {b}', a, b, COLOURS)
    yield Question('list', f'the last of {a} and {b}', b, a, COLOURS)


def letters() -> Iterator[Question]:
  """The letter after or before another; the wrong way round is tempting."""
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


def opposites() -> Iterator[Question]:
  """The opposite of a quality; one of the next pair is tempting."""
  following = OPPOSITES[1:] + OPPOSITES[:1]
  for (a, b), (near_a, near_b) in zip(OPPOSITES, following, strict=True):
    yield Question('opposite', f'the opposite of {a}', b, near_b, QUALITIES)
    yield Question('opposite', f'the opposite of {b}', a, near_a, QUALITIES)


KINDS = ('sum', 'difference', 'compare', 'list', 'letter', 'opposite')


@functools.cache
def questions() -> tuple[Question, ...]:
  """Every question, in a fixed order, each with its difficulty."""
  found = []
  makers = (sums, differences, comparisons, lists, letters, opposites)
  for seed, make in enumerate(makers):
    of_kind = list(make())
    ranks = np.random.default_rng(seed).permutation(len(of_kind)).tolist()
    found += [
      question._replace(difficulty=(rank + 0.5) / len(of_kind))
      for question, rank in zip(of_kind, ranks, strict=True)
    ]
  return tuple(found)


def ask(question: Question, wording: str, style: str) -> Prompt:
  """The prompt that asks a question in a wording and a style."""
  text = f'{wording.replace("_", question.text)} {style}'
  return Prompt((Message('user', text),), kind=question.kind)


@functools.cache
def prompts() -> tuple[Prompt, ...]:
  """Every question in every form, in a fixed order."""
  return tuple(ask(q, *form) for q in questions() for form in FORMS)


@functools.cache
def asked_by_text() -> Mapping[str, StyledQuestion]:
  """What each prompt of the world asks, by the prompt's text."""
  asked = (StyledQuestion(q, style) for q in questions() for _, style in FORMS)
  return dict(zip((p.text for p in prompts()), asked, strict=True))


def read(prompt: Prompt) -> StyledQuestion:
  """What a prompt asks. Raises ValueError where it is none of the world's."""
  try:
    return asked_by_text()[prompt.text]
  except KeyError:
    raise ValueError(
      f'the sandbox has no prompt {prompt.text!r}; its prompts are those of'
      ' rlhf_jax.sandbox.questions.prompts()'
    ) from None
