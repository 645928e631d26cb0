"""A source of problems whose answers a program can check."""

import dataclasses
import pathlib

from rlhf_jax.addressing import Code
from rlhf_jax.data import chat_jinja, chat_templates, readers, splits
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.sources import (
  Corpus,
  Files,
  tokenizer_facts,
  tokenizer_of,
)
from rlhf_jax.types import Demonstration, Reward
from rlhf_jax.types.rules import Count, Date, ShareBetween
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True)
@checked
class Problems:
  """Worked problems: their solutions to imitate, their questions to answer.

  The datasets are demonstrations and prompts, and the same two held out, with
  'test_' before their names. Every prompt has an `answer`.

  Attributes:
    data_dir: the folder of the files.
    problems: what is trained on, read as Demonstrations.
    test: what is held out. Where None, a share of `problems` is, by a hash of
      the question.
    held_out: that share, in (0, 1).
    vocab_size: of the byte-level tokenizer that is trained on training texts.
    tokenizer: a Hugging Face tokenizer folder to use in its place, or ''.
    template_date: what day a chat template is told that asks for it.
    gold: what says whether an answer is right, such as
      `feedback.verifying.number`; None where nothing does.
  """

  data_dir: str
  problems: Files = Files(('train.jsonl',), readers.problems)
  test: Files | None = None
  held_out: ShareBetween = 0.1
  vocab_size: Count = 2048
  tokenizer: str = ''
  template_date: Date = chat_jinja.DATE
  gold: Reward | None = None

  def fingerprint(self) -> str:
    """Of the settings, the content of every file, and the code that reads.

    Not of gold, which nothing is read with.
    """
    return Code().digest(
      type(self),
      self.problems.contents(self.data_dir),
      self.test.contents(self.data_dir) if self.test else self.held_out,
      tokenizer_facts(self),
    )

  def load(self, folder: str | pathlib.Path) -> Corpus:
    """Reads the files; trains a tokenizer, or finds it again in `folder`."""
    training, test, notes = self._sides()
    tokenizer = tokenizer_of(self, folder, training)
    return Corpus(
      tokenizer,
      chat_templates.of(tokenizer, date=self.template_date),
      {
        'demonstrations': training,
        'prompts': splits.distinct_prompts(training),
        'test_demonstrations': test,
        'test_prompts': splits.distinct_prompts(test),
      },
      self.gold,
      notes,
    )

  def _sides(
    self,
  ) -> tuple[list[Demonstration], list[Demonstration], tuple[str, ...]]:
    """(training, held-out) problems, none on both sides; what is noted."""
    given = self.problems.records(self.data_dir)
    notes = given.notes
    if self.test is None:
      training, test = splits.split(given, self.held_out)
    else:
      test = self.test.records(self.data_dir)
      notes += test.notes
      asked = {problem.prompt.messages for problem in test}
      training = [p for p in given if p.prompt.messages not in asked]
      if len(training) < len(given):
        notes += (
          f'{len(given) - len(training)} of {len(given)} problems left out of '
          'training: the test asks them too',
        )
    if not training or not test:
      raise DataError(
        f'of {len(given)} problems {len(training)} are left to train on and '
        f'{len(test)} to test on; give more of them, or a test file.'
      )
    return training, test, notes
