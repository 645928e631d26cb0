"""Where experiments get their data: a source's `load` gives a Corpus.

A source is a frozen dataclass of settings with two functions: `load(folder)`,
and `fingerprint()`, which changes when a setting or the content of a file that
it reads does, so that what was computed from it can be kept by that name.
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from rlhf_jax.data import (
  chat_jinja,
  chat_templates,
  jsonl,
  ranked_readers,
  readers,
  splits,
  templates,
  tokens,
)
from rlhf_jax.types import Comparison, Demonstration, Prompt, Rated, Reward

Records = (
  Sequence[Prompt]
  | Sequence[Demonstration]
  | Sequence[Comparison]
  | Sequence[Rated]
)


class Corpus(NamedTuple):
  """Everything an experiment reads.

  Attributes:
    tokenizer: text to ids.
    template: conversations to ids.
    datasets: records of one kind each, by name: 'demonstrations',
      'comparisons', 'prompts', and what is held out of training as
      'test_demonstrations', 'test_comparisons', 'test_prompts'.
    gold: the true reward, where the world's is known.
  """

  tokenizer: tokens.Tokenizer
  template: templates.Format
  datasets: Mapping[str, Records]
  gold: Reward | None = None


@dataclasses.dataclass(frozen=True)
class Files:
  """Files of one format, in a folder given elsewhere.

  Attributes:
    names: the files' names.
    read: a function of `readers`, or one like them: path -> records.
  """

  names: tuple[str, ...]
  read: Callable[[pathlib.Path], Records]

  def records(self, folder: str | pathlib.Path) -> list:
    """The records of all files, in order."""
    paths = [pathlib.Path(folder) / name for name in self.names]
    return [record for path in paths for record in self.read(path)]

  def contents(self, folder: str | pathlib.Path) -> list[str]:
    """What the records come from: the reader's name and each file's SHA-256."""
    paths = [pathlib.Path(folder) / name for name in self.names]
    reader = f'{self.read.__module__}.{self.read.__qualname__}'
    return [reader, *map(_content, paths)]


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
class HhRlhf:
  """Dialogues with people's preferences, and instructions to imitate first.

  Prompts are split into training and held-out by a hash of what the user says
  first, the same in every dataset, so that no opening is on both sides.

  Attributes:
    data_dir: the folder of the files.
    comparisons: Anthropic's helpful and harmless pairs, or some of the files.
    demonstrations: INSTRUCTIONS, or HH_CHOSEN for the chosen answers.
    held_out: share of openings kept out of training, in (0, 1).
    vocab_size: of the byte-level tokenizer that is trained on training texts.
    tokenizer: a Hugging Face tokenizer folder to use in its place, or ''.
    template_date: what day a chat template is told that asks for it.
  """

  data_dir: str
  comparisons: Files = HH_PAIRS
  demonstrations: Files = INSTRUCTIONS
  held_out: float = 0.1
  vocab_size: int = 4096
  tokenizer: str = ''
  template_date: str = chat_jinja.DATE

  def fingerprint(self) -> str:
    """Hash of the settings and of the content of every file read, in hex."""
    settings = [
      self.comparisons.contents(self.data_dir),
      self.demonstrations.contents(self.data_dir),
      self.held_out,
      tokenizer_facts(self),
    ]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()

  def load(self, folder: str | pathlib.Path) -> Corpus:
    """Reads the files; trains a tokenizer, or finds it again in `folder`."""
    if not 0.0 < self.held_out < 1.0:
      raise jsonl.DataError(
        f'held_out is {self.held_out}; it must be a share between 0 and 1.'
      )
    comparisons, test_comparisons = splits.split(
      self.comparisons.records(self.data_dir), self.held_out
    )
    demonstrations, test_demonstrations = splits.split(
      self.demonstrations.records(self.data_dir), self.held_out
    )
    tokenizer = tokenizer_of(self, folder, [*demonstrations, *comparisons])
    return Corpus(
      tokenizer,
      chat_templates.of(tokenizer, date=self.template_date),
      {
        'demonstrations': demonstrations,
        'comparisons': comparisons,
        'prompts': splits.distinct_prompts(comparisons),
        'test_demonstrations': test_demonstrations,
        'test_comparisons': test_comparisons,
        'test_prompts': splits.distinct_prompts(test_comparisons),
      },
    )


@dataclasses.dataclass(frozen=True)
class Tiers(HhRlhf):
  """Responses of models of known strength, the strongest's to imitate first.

  The comparisons are called 'tiers' and 'test_tiers', as the sandbox's are; all
  else is as of HhRlhf.

  Attributes:
    comparisons: three outputs or fewer to each prompt, by strength.
    demonstrations: the strongest's outputs.
  """

  comparisons: Files = TIERS
  demonstrations: Files = STRONGEST

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
  contents = [_content(path) for path in tokens.files(source.tokenizer)]
  return [source.template_date, *contents]


def tokenizer_of(
  source: Tokenized,
  folder: str | pathlib.Path,
  records: Iterable[Demonstration | Comparison],
) -> tokens.Tokenizer:
  """A source's tokenizer, or one trained on records and kept in `folder`."""
  if source.tokenizer:
    return tokens.load(source.tokenizer)
  return _trained_once(
    pathlib.Path(folder) / f'tokenizer-{source.fingerprint()[:16]}',
    texts=texts(records),
    vocab_size=source.vocab_size,
  )


def texts(records: Iterable[Demonstration | Comparison]) -> Iterator[str]:
  """Everything said in records, each conversation before a response once."""
  records = list(records)
  for prompt in splits.distinct_prompts(records):
    yield from (message.content for message in prompt.messages)
  for record in records:
    if isinstance(record, Demonstration):
      yield record.response
    else:
      yield from record.responses


def _trained_once(
  folder: pathlib.Path, *, texts: Iterable[str], vocab_size: int
) -> tokens.Tokenizer:
  """The tokenizer kept in a folder, trained first where there is none."""
  if folder.is_dir():
    return tokens.load(folder)
  tokenizer = tokens.train_bpe(
    texts, vocab_size=vocab_size, chat_template=templates.CHAT.jinja
  )
  # Written whole or not at all: a run may be killed, or several may write.
  unfinished = folder.with_name(f'{folder.name}-{uuid.uuid4().hex}')
  tokenizer.save(unfinished)
  try:
    unfinished.rename(folder)
  except OSError:  # Another process was first, with the same tokenizer.
    shutil.rmtree(unfinished)
  return tokens.load(folder)


def _content(path: pathlib.Path) -> str:
  """SHA-256 of a file, in hex."""
  return hashlib.sha256(jsonl.existing(path).read_bytes()).hexdigest()
