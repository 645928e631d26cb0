"""Where experiments get their data: a source's `load` gives a Corpus.

A source is a frozen dataclass of settings with two functions: `load(folder)`,
and `fingerprint()`, which changes when a setting or the content of a file that
it reads does, so that what was computed from it can be kept by that name.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from rlhf_jax.addressing import Code
from rlhf_jax.data import (
  chat_jinja,
  chat_templates,
  jsonl,
  margins,
  ranked_readers,
  readers,
  splits,
  templates,
  tokens,
)
from rlhf_jax.data.files import Dataset, Files
from rlhf_jax.storage import files, seals
from rlhf_jax.types import (
  Comparison,
  Record,
  Reward,
  responses_of,
)
from rlhf_jax.types.rules import Count, Date, ShareBetween
from rlhf_jax.types.values import checked


class Corpus(NamedTuple):
  """Everything an experiment reads.

  Attributes:
    tokenizer: text to ids.
    template: conversations to ids.
    datasets: records of one kind each, by name: 'demonstrations',
      'comparisons', 'prompts', and what is held out of training as
      'test_demonstrations', 'test_comparisons', 'test_prompts'.
    gold: the true reward, where the world's is known.
    notes: what a person should know of how the files were read.
  """

  tokenizer: tokens.Tokenizer
  template: templates.Format
  datasets: Mapping[str, Dataset]
  gold: Reward | None = None
  notes: tuple[str, ...] = ()


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
TIERS = Files(STRENGTHS, ranked_readers.tiers)
STRONGEST = Files(STRENGTHS, ranked_readers.strongest)


@dataclasses.dataclass(frozen=True)
@checked
class Feedback:
  """People's or judges' preferences, what is imitated first, and prompts.

  Prompts are split into training and held-out by a hash of what the user says
  first, the same in every dataset, so that no opening is on both sides.

  Attributes:
    data_dir: the folder of the files.
    comparisons: read as Comparisons; None where there are none.
    demonstrations: read as Demonstrations; None where there are none.
    held_out: share of openings kept out of training, in (0, 1).
    vocab_size: of the byte-level tokenizer that is trained on training texts.
    tokenizer: a Hugging Face tokenizer folder to use in its place, or ''.
    template_date: what day a chat template is told that asks for it.
    prompts: read as Prompts; where None, what the comparisons ask or, without
      any, the demonstrations.
    margins: all margins that are trained on -> what each is multiplied by:
      `margins.standardised`, `as_given` or `left_out`.
    gold: what judges responses to the held-out prompts, (prompts, responses) ->
      scores; None where nobody but reward models does.
  """

  data_dir: str
  comparisons: Files | None = None
  demonstrations: Files | None = None
  held_out: ShareBetween = 0.1
  vocab_size: Count = 4096
  tokenizer: str = ''
  template_date: Date = chat_jinja.DATE
  prompts: Files | None = None
  margins: Callable[[Sequence[float]], float] = margins.standardised
  gold: Reward | None = None

  def fingerprint(self) -> str:
    """Of the settings, the content of every file, and the code that reads.

    Not of gold, which nothing is read with.
    """
    return Code().digest(
      type(self),
      [f.contents(self.data_dir) for f in self._files().values()],
      self.held_out,
      tokenizer_facts(self),
      self.margins,
    )

  def load(self, folder: str | pathlib.Path) -> Corpus:
    """Reads the files; trains a tokenizer, or finds it again in `folder`.

    Only one at a time may do so in a folder.
    """
    found = {n: f.records(self.data_dir) for n, f in self._files().items()}
    notes = [note for records in found.values() for note in records.notes]
    datasets = {}
    for name, records in found.items():
      training, test = splits.split(records, self.held_out)
      _check_sides(name, training, test)
      if name == 'comparisons':
        training, test, said = self._scaled(training, test)
        notes += said
      datasets |= {name: training, f'test_{name}': test}
    asking = next(n for n in ('prompts', *_LEARNT) if n in found)
    for side in ('', 'test_'):
      asked = splits.distinct_prompts(datasets[side + asking])
      datasets[f'{side}prompts'] = asked
    learnt = [r for n in _LEARNT[::-1] for r in datasets.get(n, ())]
    tokenizer = tokenizer_of(self, folder, learnt or datasets['prompts'])
    return Corpus(
      tokenizer,
      chat_templates.of(tokenizer, date=self.template_date),
      datasets,
      gold=self.gold,
      notes=tuple(dict.fromkeys(notes)),
    )

  def _scaled(
    self, training: list[Comparison], test: list[Comparison]
  ) -> tuple[list[Comparison], list[Comparison], list[str]]:
    """Comparisons in the units of `margins`, and a note if there are any."""
    given = [record.margin for record in training]
    factor = self.margins(given)
    sides = (
      [record._replace(margin=factor * record.margin) for record in side]
      for side in (training, test)
    )
    said = [f'margins are multiplied by {factor:.4g}'] if any(given) else []
    return *sides, said

  def _files(self) -> dict[str, Files]:
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
    return {name: files for name, files in given.items() if files is not None}


# Datasets with responses, in the order that prompts are taken from them in.
_LEARNT = ('comparisons', 'demonstrations')


def _check_sides(name: str, training: Sequence, test: Sequence) -> None:
  if not training or not test:
    raise jsonl.DataError(
      f'of {len(training) + len(test)} {name} {len(training)} are left to '
      f'train on and {len(test)} to test on; give more of them, or another '
      'held_out.'
    )


@dataclasses.dataclass(frozen=True)
class HhRlhf(Feedback):
  """Dialogues with people's preferences, and instructions to imitate first.

  Attributes:
    comparisons: Anthropic's helpful and harmless pairs, or some of the files.
    demonstrations: INSTRUCTIONS, or HH_CHOSEN for the chosen answers.
  """

  comparisons: Files | None = HH_PAIRS
  demonstrations: Files | None = INSTRUCTIONS


@dataclasses.dataclass(frozen=True)
class Tiers(HhRlhf):
  """Responses of models of known strength, the strongest's to imitate first.

  The comparisons are called 'tiers' and 'test_tiers', as the sandbox's are; all
  else is as of HhRlhf.

  Attributes:
    comparisons: three outputs or fewer to each prompt, by strength.
    demonstrations: the strongest's outputs.
  """

  comparisons: Files | None = TIERS
  demonstrations: Files | None = STRONGEST

  def load(self, folder: str | pathlib.Path) -> Corpus:
    """As HhRlhf's, by other names."""
    corpus = super().load(folder)
    datasets = dict(corpus.datasets)
    for side in ('', 'test_'):
      datasets[f'{side}tiers'] = datasets.pop(f'{side}comparisons')
    return corpus._replace(datasets=datasets)


class Tokenized(Protocol):
  """A source that names a tokenizer's folder, or has one trained.

  Attributes:
    vocab_size: of the byte-level tokenizer that is trained on training texts.
    tokenizer: a Hugging Face tokenizer folder to use in its place, or ''.
    template_date: what day a chat template is told that asks for it.
  """

  vocab_size: int
  tokenizer: str
  template_date: str

  def fingerprint(self) -> str:
    """Changes when the settings, or the files that are read, do."""


def tokenizer_facts(source: Tokenized) -> int | list[str]:
  """What a source's tokenizer depends on beside its texts."""
  if not source.tokenizer:
    return source.vocab_size
  contents = [jsonl.digest(path) for path in tokens.files(source.tokenizer)]
  return [source.template_date, *contents]


def tokenizer_of(
  source: Tokenized,
  folder: str | pathlib.Path,
  records: Iterable[Record],
) -> tokens.Tokenizer:
  """A source's tokenizer, or one trained on records and kept in `folder`."""
  if source.tokenizer:
    return tokens.load(source.tokenizer)
  return _trained_once(
    pathlib.Path(folder) / f'tokenizer-{source.fingerprint()}',
    texts=texts(records),
    vocab_size=source.vocab_size,
  )


def texts(records: Iterable[Record]) -> Iterator[str]:
  """Everything said in records, each conversation before a response once."""
  records = list(records)
  for prompt in splits.distinct_prompts(records):
    yield from (message.content for message in prompt.messages)
  for record in records:
    yield from responses_of(record)


def _trained_once(
  folder: pathlib.Path, *, texts: Iterable[str], vocab_size: int
) -> tokens.Tokenizer:
  """The tokenizer kept in a folder, trained first where there is none.

  Raises:
    DamagedError: it is not the one that was kept.
  """
  files.sweep(folder)
  if not folder.is_dir():
    tokenizer = tokens.train_bpe(
      texts, vocab_size=vocab_size, chat_template=templates.CHAT.jinja
    )
    # Written whole or not at all: a run may be killed.
    unfinished = files.partial_of(folder)
    with files.naming(folder):
      tokenizer.save(unfinished)
      seals.seal(unfinished)
      unfinished.rename(folder)
      files.fsync_folder(folder.parent)
  seals.verify(folder, delete=folder)
  return tokens.load(folder)
