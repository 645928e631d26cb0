"""Where experiments get their data: a source's `load` gives a Corpus.

A source is a frozen dataclass of settings with two functions: `load(folder)`,
and `fingerprint()`, which changes when a setting does, or the content of a file
that is read; results computed from the source are kept under it.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlhf_jax.addressing import Code
from rlhf_jax.data import (
  chat_jinja,
  chat_templates,
  jsonl,
  margins,
  readers,
  sequences,
  splits,
  templates,
  tokens,
)
from rlhf_jax.data.files import Dataset, Files, Sides
from rlhf_jax.data.names import listed
from rlhf_jax.storage import files, seals
from rlhf_jax.types import Record, Reward, responses_of
from rlhf_jax.types.rules import Count, Date, ShareBetween
from rlhf_jax.types.values import checked


class Corpus(NamedTuple):
  """Everything an experiment reads.

  Attributes:
    tokenizer: text to ids.
    template: conversations to ids.
    datasets: records of one kind each, by name: 'demonstrations',
      'comparisons', 'prompts', and those held out of training as
      'test_demonstrations', 'test_comparisons', 'test_prompts'.
    gold: the true reward, where it is known.
    notes: for a person, on how the files were read.
  """

  tokenizer: tokens.Tokenizer
  template: templates.ChatFormat
  datasets: Mapping[str, Dataset]
  gold: Reward | None = None
  notes: tuple[str, ...] = ()


# Anthropic's dialogues, helpful and harmless, with people's preferences.
HH = tuple(
  f'hh_{subset}_test.jsonl.gz'
  for subset in (
    'harmless_base',
    'helpful_base',
    'helpful_online',
    'helpful_rejection_sampled',
  )
)
HH_PAIRS = Files(HH, readers.pairs)
HH_CHOSEN = Files(HH, readers.chosen)
INSTRUCTIONS = Files(
  ('alpaca_subset.jsonl.gz', 'dolly_3k.jsonl.gz'), readers.instructions
)
STRENGTHS = ('pairwise_gpt4_vs_instructgpt.jsonl.gz',)
TIERS = Files(STRENGTHS, readers.tiers)
STRONGEST = Files(STRENGTHS, readers.strongest)


@dataclasses.dataclass(frozen=True)
@checked
class FileSource:
  """The settings that all sources of files share; `fingerprint` is theirs.

  Attributes:
    data_dir: the folder of the files.
    held_out: share of the prompts kept out of training, in (0, 1).
    vocab_size: of the byte-level tokenizer that is trained on training texts.
    tokenizer: a Hugging Face tokenizer folder to use in its place, or ''.
    template_date: today for a chat template, YYYY-MM-DD.
    gold: the true reward of responses, (prompts, responses) -> scores, or None.
  """

  data_dir: str
  _: dataclasses.KW_ONLY
  held_out: ShareBetween = 0.1
  vocab_size: Count = 4096
  tokenizer: str = ''
  template_date: Date = chat_jinja.DATE
  gold: Reward | None = None

  def digest(self, *facts: Any) -> str:
    """A fingerprint: of these facts, the tokenizer, and the code that reads."""
    made: Any = self.vocab_size
    if self.tokenizer:
      contents = [jsonl.digest(path) for path in tokens.files(self.tokenizer)]
      made = [self.template_date, *contents]
    return Code().digest(type(self), *facts, made)

  def corpus(
    self,
    folder: str | pathlib.Path,
    datasets: Mapping[str, Dataset],
    learnt: Sequence[Record],
    notes: Iterable[str],
  ) -> Corpus:
    """A Corpus, its tokenizer trained on `learnt` and kept in `folder`.

    Raises:
      DamagedError: the kept one is damaged.
    """
    tokenizer = self._tokenizer(pathlib.Path(folder), learnt)
    template = chat_templates.of(tokenizer, date=self.template_date)
    return Corpus(tokenizer, template, datasets, self.gold, tuple(notes))

  def _tokenizer(
    self, folder: pathlib.Path, learnt: Sequence[Record]
  ) -> tokens.Tokenizer:
    if self.tokenizer:
      return tokens.load(self.tokenizer)
    kept = folder / f'tokenizer-{self.fingerprint()}'
    files.sweep(kept)
    if not kept.is_dir():
      tokenizer = tokens.train_bpe(
        texts(learnt),
        vocab_size=self.vocab_size,
        chat_template=templates.CHAT.jinja,
      )
      with seals.new_folder(kept) as unfinished:
        tokenizer.save(unfinished)
    seals.verify(kept, delete=kept)
    return tokens.load(kept)


@dataclasses.dataclass(frozen=True)
class Feedback(FileSource):
  """Preferences of people or judges, demonstrations to imitate, and prompts.

  Prompts are split into training and held-out by a hash of what the user says
  first, the same in every dataset, so that no opening is on both sides. What is
  published or prepared in splits keeps them, and is told what both sides ask.

  Where several Files make a dataset, each is one too, by its number: they are
  'comparisons', 'comparisons_1' and 'comparisons_2'. So a stage may mix them.
  Those held out stand evenly in their dataset: its first few are of each.

  Attributes:
    comparisons: read as Comparisons; None where there are none.
    demonstrations: read as Demonstrations; None where there are none.
    prompts: read as Prompts; None takes those of the comparisons or, without
      any, of the demonstrations.
    margins: all margins of some Files that are trained on -> the factor of
      each: `margins.standardised`, `as_given` or `left_out`.
  """

  comparisons: Files | tuple[Files, ...] | None = None
  demonstrations: Files | tuple[Files, ...] | None = None
  prompts: Files | tuple[Files, ...] | None = None
  margins: Callable[[Sequence[float]], float] = margins.standardised

  def fingerprint(self) -> str:
    """Of the settings but `gold`, of every file's content, and of the code."""
    contents = [
      [files.contents(self.data_dir) for files in several]
      for several in self._files().values()
    ]
    return self.digest(contents, self.held_out, self.margins)

  def load(self, folder: str | pathlib.Path) -> Corpus:
    """Reads the files; trains a tokenizer, or finds it again in `folder`.

    Only one at a time may do so in a folder, where many records are kept too.
    """
    found = {
      name: [self._read(name, files, folder) for files in several]
      for name, several in self._files().items()
    }
    asking = next(n for n in ('prompts', *_LEARNT) if n in found)
    notes = [
      n for read in found.values() for sides in read for n in sides.notes
    ]
    found['prompts'] = [
      Sides(*map(splits.distinct_prompts, sides[:2])) for sides in found[asking]
    ]
    datasets: dict[str, Dataset] = {}
    for name, read in found.items():
      datasets |= _named(name, read)
    learnt = [datasets[n] for n in _LEARNT[::-1] if n in datasets]
    learnt = learnt or [datasets['prompts']]
    return self.corpus(
      folder, datasets, sequences.Chained(learnt), dict.fromkeys(notes)
    )

  def _read(self, name: str, files: Files, folder: Any) -> Sides:
    """The records of some files of a dataset."""
    sides = files.sides(self.data_dir, self.held_out, folder)
    training, test, notes = sides
    count = len(training) + len(test)
    said = f'{count} {name} of {listed(files.names)}'
    splits.check_sides(training, test, said, ', or another held_out')
    if name != 'comparisons':
      return sides
    given = margins.given(training)
    factor = self.margins(given)
    if any(given):
      notes += (f'margins are multiplied by {factor:.4g}',)
    training, test = (margins.times(side, factor) for side in (training, test))
    return Sides(training, test, notes)

  def _files(self) -> dict[str, tuple[Files, ...]]:
    """The files that are given, by the dataset that they make."""
    given = {
      'comparisons': self.comparisons,
      'demonstrations': self.demonstrations,
      'prompts': self.prompts,
    }
    if not any(given.values()):
      raise jsonl.DataError(
        'no file is named; give comparisons, demonstrations or prompts.'
      )
    return {
      name: files if isinstance(files, tuple) else (files,)
      for name, files in given.items()
      if files
    }


# Datasets with responses, in the order that prompts are taken from them in.
_LEARNT = ('comparisons', 'demonstrations')


def _named(name: str, read: Sequence[Sides]) -> dict[str, Dataset]:
  """What is read, whole and each by its number, both sides of it."""
  if len(read) == 1:
    return {name: read[0].training, f'test_{name}': read[0].held_out}
  found = {}
  for side, part, joined in (
    ('', 'training', sequences.Chained),
    ('test_', 'held_out', _evenly),
  ):
    own = [getattr(sides, part) for sides in read]
    found[side + name] = joined(own)
    found |= {f'{side}{name}_{k}': one for k, one in enumerate(own, start=1)}
  return found


def _evenly(parts: Sequence[Dataset]) -> Dataset:
  """Several datasets as one, over which each of them is spread evenly."""
  shares = [(np.arange(len(part)) + 0.5) / len(part) for part in parts]
  places = np.argsort(np.concatenate(shares), kind='stable')
  return sequences.Selected(sequences.Chained(parts), places)


@dataclasses.dataclass(frozen=True)
class Tiers(Feedback):
  """Responses of models of known strength, the strongest's to imitate first.

  The comparisons are the datasets 'tiers' and 'test_tiers', as the sandbox's.

  Attributes:
    comparisons: three outputs or fewer to each prompt, by strength.
    demonstrations: the strongest's outputs.
  """

  comparisons: Files | None = TIERS
  demonstrations: Files | None = STRONGEST

  def load(self, folder: str | pathlib.Path) -> Corpus:
    """As `Feedback.load`."""
    corpus = super().load(folder)
    datasets = dict(corpus.datasets)
    for side in ('', 'test_'):
      datasets[f'{side}tiers'] = datasets.pop(f'{side}comparisons')
    return corpus._replace(datasets=datasets)


def texts(records: Sequence[Record]) -> Iterator[str]:
  """All contents of messages, each conversation once, and all responses."""
  for prompt in splits.distinct_prompts(records):
    yield from (message.content for message in prompt.messages)
  for record in records:
    yield from responses_of(record)
