"""A source of problems whose answers a program can check."""

import dataclasses
import pathlib

from rlhf_jax.data import readers, splits
from rlhf_jax.data.files import Files, Sides
from rlhf_jax.data.sources import Corpus, FileSource
from rlhf_jax.types.rules import Count


@dataclasses.dataclass(frozen=True)
class Problems(FileSource):
  """Worked problems: their solutions to imitate, their questions to answer.

  The datasets are demonstrations and prompts, and the same two held out, with
  'test_' before their names. Every prompt has an `answer`.

  Attributes:
    problems: trained on, read as Demonstrations.
    test: the held-out problems; None holds out a share of `problems`, by a hash
      of the question.
  """

  problems: Files = Files(('train.jsonl',), readers.problems)
  test: Files | None = None
  _: dataclasses.KW_ONLY
  vocab_size: Count = 2048

  def fingerprint(self) -> str:
    """Of the settings but `gold`, of every file's content, and of the code."""
    return self.digest(
      self.problems.contents(self.data_dir),
      self.test.contents(self.data_dir) if self.test else self.held_out,
    )

  def load(self, folder: str | pathlib.Path) -> Corpus:
    """Reads the files; trains a tokenizer, or finds it again in `folder`."""
    training, test, notes = self._sides()
    datasets = {
      'demonstrations': training,
      'prompts': splits.distinct_prompts(training),
      'test_demonstrations': test,
      'test_prompts': splits.distinct_prompts(test),
    }
    return self.corpus(folder, datasets, training, notes)

  def _sides(self) -> Sides:
    """Problems to learn from and held out, none of them on both sides."""
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
    splits.check_sides(
      training, test, f'{len(given)} problems', ', or a test file'
    )
    return Sides(training, test, notes)
