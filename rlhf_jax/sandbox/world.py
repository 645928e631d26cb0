"""The sandbox as a source of data."""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlhf_jax.data import tokens
from rlhf_jax.data.sources import Corpus
from rlhf_jax.sandbox import authors, grammar, questions, verdicts
from rlhf_jax.sandbox.annotators import Annotator
from rlhf_jax.sandbox.gold import Attributes, attributes, clip, gold
from rlhf_jax.types import Comparison, Demonstration, Prompt, Rated
from rlhf_jax.types.rules import Count, Seed, Share
from rlhf_jax.types.values import checked

MAX_RESPONSE_TOKENS = 24  # Room for every author, end-of-text included.
FORMS_HELD_OUT = 3  # Of each question's eight: one to validate, two to test.
TIERS = (authors.STRONG, authors.MEDIUM, authors.WEAK)  # Best first.
# The words of conditions that the world does not have; it has digits and marks.
CONDITION_WORDS = (
  '-',
  '<rm_score>:',
  '<extra_id_2>',
  *(f'{name}:' for name in Attributes._fields),
)
_WORD = re.compile(r'<[a-z_0-9]+>:?|[a-z_]+:|[-.,0-9]')


@functools.cache
def vocabulary() -> tuple[str, ...]:
  """Every word of prompts and responses, in a fixed order."""
  words = {word for prompt in questions.prompts() for word in _words(prompt)}
  words |= {word for p in grammar.PHRASES for word in p.pattern.split()}
  words |= set(grammar.MARKS.values()) | questions.ANSWER_WORDS
  return tuple(sorted(words - {'_'}))


def max_prompt_tokens() -> int:
  """The longest prompt's."""
  return max(len(_words(prompt)) for prompt in questions.prompts())


def tokenizer(words: Sequence[str] = ()) -> tokens.Tokenizer:
  """Whole words as tokens.

  Args:
    words: further ones after the world's own, for conditions.
  """
  return tokens.word_level((*vocabulary(), *words))


def _words(prompt: Prompt) -> list[str]:
  return prompt.text.split()


def spell(text: str) -> str:
  """A condition with a space between its words, its digits and its marks.

  `<rm_score>: -1.2` is spelt `<rm_score>: - 1 . 2`.
  """
  return ' '.join(_WORD.findall(text))


class PromptSplits(NamedTuple):
  """All prompts of the world, each in one place, each place in its own order.

  Attributes:
    train: five forms (wording and style) of every question.
    validation: one form of every question, to choose checkpoints by.
    test: two forms of every question.
  """

  train: tuple[Prompt, ...]
  validation: tuple[Prompt, ...]
  test: tuple[Prompt, ...]


def split(seed: int) -> PromptSplits:
  """Splits the prompts by the seed alone."""
  rng = np.random.default_rng([seed, 0])
  train, validation, test = [], [], []
  for question in questions.questions():
    forms = [questions.ask(question, *form) for form in questions.FORMS]
    forms = [forms[i] for i in rng.permutation(len(forms))]
    validation += forms[:1]
    test += forms[1:FORMS_HELD_OUT]
    train += forms[FORMS_HELD_OUT:]
  # Shuffled, so that the first few of each are of every kind.
  return PromptSplits(
    *(
      tuple(prompts[i] for i in rng.permutation(len(prompts)))
      for prompts in (train, validation, test)
    )
  )


@dataclasses.dataclass(frozen=True)
class LazyRecords(Sequence):
  """Records written when they are read, each from its index alone.

  Attributes:
    size: how many.
    record: index -> the record.
  """

  size: int
  record: Callable[[int], Any]

  def __len__(self) -> int:
    return self.size

  def __getitem__(self, index: int | slice) -> Any:
    places = range(self.size)[index]
    if isinstance(index, slice):
      return [self.record(i) for i in places]
    return self.record(places)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class World:
  """Questions with known answers, and people who answer and compare.

  A held-out prompt asks what training prompts ask too, in other words or in
  another style: answers have to be known, they cannot be worked out.

  Attributes:
    seed: of the split, the authors and the annotators.
    demonstrations: how many there are to imitate.
    comparisons: how many pairs of the author's responses are compared.
    author: who writes both.
    annotator: who compares.
    misrated: share of a person's ratings that are a level off, up or down.
    verdicts: how many responses there are of which it is said whether they are
      right.
    words: further words of the vocabulary, as CONDITION_WORDS.
  """

  seed: Seed = 0
  demonstrations: Count = 16_384
  comparisons: Count = 4096
  author: authors.Author = authors.DEMONSTRATOR
  annotator: Annotator = Annotator()
  misrated: Share = 0.3
  verdicts: Count = 131_072
  words: tuple[str, ...] = ()

  def fingerprint(self) -> str:
    """Empty: the settings determine all of the data."""
    return ''

  def load(self, folder: str | pathlib.Path) -> Corpus:
    """The datasets and gold; nothing is kept in `folder`.

    Beside what a Corpus names there are 'validation_prompts' and:
      'tiers': three responses to every training prompt, a strong, a medium and
        a weak author's, in this order and not compared by anyone; their scores
        are the authors' ranks, 2, 1 and 0.
      'strong_demonstrations': the first of these, to imitate.
      'strong_comparisons', 'medium_comparisons', 'weak_comparisons': pairs of
        one author's responses, compared as 'comparisons' are.
      'written': four responses of the demonstrations' author to every training
        prompt, in no order.
      'rated': as many of that author's responses as there are comparisons, each
        with a person's ratings of its attributes, in the order of
        `gold.Attributes`.
      'test_rated': the same for the test prompts, as they truly are.
      'verdicts': that author's responses to training prompts, each with whether
        it is right, to learn from before anything else; `words` are then to
        have VERDICT_WORDS.
    """
    del folder
    train, validation, test = split(self.seed)
    count = self.comparisons
    tiers = self._tiers(train, 5)
    strong, medium, weak = TIERS
    return Corpus(
      tokenizer(self.words),
      verdicts.TEMPLATE,
      {
        'demonstrations': self._demonstrations(train, 1, self.demonstrations),
        'test_demonstrations': self._demonstrations(test, 2, len(test)),
        'comparisons': self._comparisons(train, 3, count, self.author),
        'test_comparisons': self._comparisons(test, 4, len(test), self.author),
        'tiers': tiers,
        'strong_demonstrations': _best_of(tiers),
        'strong_comparisons': self._comparisons(train, 6, count, strong),
        'medium_comparisons': self._comparisons(train, 7, count, medium),
        'weak_comparisons': self._comparisons(train, 8, count, weak),
        'written': self._written(train, 9),
        'rated': self._rated(train, 10, count, self.misrated),
        'test_rated': self._rated(test, 11, len(test), 0.0),
        'verdicts': self._verdicts(train, 12, self.verdicts),
        'prompts': train,
        'validation_prompts': validation,
        'test_prompts': test,
      },
      gold,
    )

  def _demonstrations(self, prompts, stream, count):
    def record(i: int) -> Demonstration:
      prompt = prompts[i % len(prompts)]
      seed = (self.seed, stream, i)
      return Demonstration(prompt, authors.compose(self.author, prompt, seed))

    return LazyRecords(count, record)

  def _comparisons(self, prompts, stream, count, author):
    def record(i: int) -> Comparison:
      prompt = prompts[i % len(prompts)]
      pair = [
        authors.compose(author, prompt, (self.seed, stream, i, side))
        for side in (0, 1)
      ]
      return self.annotator.compare(prompt, pair, (self.seed, stream, i, 2))

    return LazyRecords(count, record)

  def _written(self, prompts, stream):
    def record(i: int) -> Comparison:
      texts = (
        authors.compose(self.author, prompts[i], (self.seed, stream, i, k))
        for k in range(4)
      )
      return Comparison(prompts[i], tuple(texts))

    return LazyRecords(len(prompts), record)

  def _rated(self, prompts, stream, count, misrated):
    def record(i: int) -> Rated:
      prompt = prompts[i % len(prompts)]
      text = authors.compose(self.author, prompt, (self.seed, stream, i, 0))
      rng = np.random.default_rng((self.seed, stream, i, 1))
      true = attributes(prompt, text)
      off = rng.choice((-1, 1), len(true)) * (rng.random(len(true)) < misrated)
      seen = (clip(level + int(o)) for level, o in zip(true, off, strict=True))
      return Rated(prompt, text, tuple(map(float, seen)))

    return LazyRecords(count, record)

  def _verdicts(self, prompts, stream, count):
    def record(i: int) -> Demonstration:
      prompt = prompts[i % len(prompts)]
      text = authors.compose(self.author, prompt, (self.seed, stream, i))
      return verdicts.judged(prompt, text)

    return LazyRecords(count, record)

  def _tiers(self, prompts, stream):
    def record(i: int) -> Comparison:
      return Comparison(
        prompts[i],
        tuple(
          authors.compose(author, prompts[i], (self.seed, stream, i, tier))
          for tier, author in enumerate(TIERS)
        ),
        scores=(2.0, 1.0, 0.0),
      )

    return LazyRecords(len(prompts), record)


def _best_of(comparisons):
  """The first response of each, to imitate."""

  def record(i: int) -> Demonstration:
    prompt, (best, *_), *_ = comparisons[i]
    return Demonstration(prompt, best)

  return LazyRecords(len(comparisons), record)
