"""The sandbox as a source of data."""

import dataclasses
import functools
import pathlib
import zlib

from rlhf_jax.data import templates, tokens
from rlhf_jax.data.sources import Corpus
from rlhf_jax.sandbox import authors, grammar, questions
from rlhf_jax.sandbox.gold import gold
from rlhf_jax.types import Demonstration, Prompt

MAX_RESPONSE_TOKENS = 24  # Room for every author, end-of-text included.


@functools.cache
def prompts() -> tuple[Prompt, ...]:
  """Every question in every wording and style, in a fixed order."""
  return tuple(
    questions.ask(question, wording, style)
    for question in questions.questions()
    for wording in questions.WORDINGS
    for style in questions.STYLES
  )


@functools.cache
def vocabulary() -> tuple[str, ...]:
  """Every word that a prompt or a response can hold, in a fixed order."""
  words = {word for prompt in prompts() for word in prompt.text.split()}
  words |= {word for p in grammar.PHRASES for word in p.pattern.split()}
  words |= set(grammar.MARKS.values()) | questions.ANSWER_WORDS
  return tuple(sorted(words - {'_'}))


def max_prompt_tokens() -> int:
  """The longest prompt's."""
  return max(len(prompt.text.split()) for prompt in prompts())


def tokenizer() -> tokens.Tokenizer:
  """Whole words as tokens."""
  return tokens.word_level(vocabulary())


@dataclasses.dataclass(frozen=True, kw_only=True)
class World:
  """Questions with known answers, and people who demonstrate answering them.

  A held-out prompt is a question in a wording and style that training does not
  have; the question itself occurs in others, for an answer cannot be guessed.

  Attributes:
    seed: of the split and of the demonstrations.
    demonstrations: how many.
    held_out: share of the prompts kept from training.
    author: who writes the demonstrations.
  """

  seed: int = 0
  demonstrations: int = 16_384
  held_out: float = 0.15
  author: authors.Author = authors.DEMONSTRATOR

  def fingerprint(self) -> str:
    """Nothing is read that the settings do not say."""
    return ''

  def load(self, folder: pathlib.Path) -> Corpus:
    """The datasets; `folder` is not needed, all is made in a second."""
    del folder
    train = [p for p in prompts() if not self._is_held_out(p)]
    test = [p for p in prompts() if self._is_held_out(p)]
    demonstrations = []
    for i in range(self.demonstrations):
      prompt = train[i % len(train)]
      response = authors.write(self.author, prompt, (self.seed, i))
      demonstrations.append(Demonstration(prompt, response))
    return Corpus(
      tokenizer(),
      templates.PLAIN,
      {
        'demonstrations': demonstrations,
        'prompts': self._shuffled(train),
        'test_prompts': self._shuffled(test),
      },
      gold,
    )

  def _is_held_out(self, prompt: Prompt) -> bool:
    return self._draw(prompt) < self.held_out

  def _shuffled(self, some: list[Prompt]) -> list[Prompt]:
    # The first few of a dataset should be of every kind.
    return sorted(some, key=lambda p: (self._draw(p) * 1e6 % 1.0, p.text))

  def _draw(self, prompt: Prompt) -> float:
    # A number in [0, 1) that depends on the prompt and the seed alone.
    return zlib.crc32(f'{self.seed} {prompt.text}'.encode()) / 2**32
