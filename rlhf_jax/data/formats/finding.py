"""Every format that is known, and readers that find a file's."""

import collections
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rlhf_jax.data import prepared, splits
from rlhf_jax.data.formats import (
  answers,
  choices,
  completions,
  preferences,
  rankings,
  ratings,
)
from rlhf_jax.data.formats.format import (
  Format,
  first_record,
  rows_of,
  stream_as,
)
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.readers import LeftOut, Records, Stream, Then, reader
from rlhf_jax.types import Comparison, Demonstration, Prompt, Record, prompt_of

# In the order in which they are tried: the more specific first.
FORMATS = (
  preferences.HH_RLHF,
  preferences.ULTRAFEEDBACK,
  preferences.TRL_PREFERENCE,
  preferences.REWARD_BENCH_2,
  preferences.ALPACA_FARM,
  preferences.PKU_SAFE_RLHF,
  preferences.SUMMARIES,
  preferences.LLMBAR,
  preferences.PANDALM,
  choices.CHOICES,
  answers.CHAT,
  answers.SHAREGPT,
  answers.ALPACA,
  answers.DOLLY,
  answers.TRL_UNPAIRED,
  answers.TRL_COMPLETION,
  answers.TRL_PROMPTS,
  answers.TEXTS,
  answers.LABELLED,
  ratings.HELPSTEER,
  ratings.OASST_RATED,
  ratings.HANNA,
  answers.PROBLEMS,
  answers.QUESTIONS,
  rankings.OASST_TREES,
  rankings.OASST_RANKED,
  rankings.SCORED_OUTPUTS,
  completions.ULTRAFEEDBACK_COMPLETIONS,
  rankings.TIERS,
  rankings.VICUNA_ANSWERS,
  rankings.TOPICAL_CHAT,
  rankings.QA_FEEDBACK,
)


@reader
def read(
  path: str | pathlib.Path,
  *,
  format: Callable[..., Records] | None = None,
  columns: Mapping[str, str] | None = None,
) -> Stream | prepared.Split:
  """Reads JSON lines, a JSON array or a table, in the format its fields fit.

  Args:
    path: of the file; what `data.packed` knows is unpacked, .arrow and .parquet
      are tables. Or of a split of a prepared dataset, whose records are read as
      they are.
    format: its Format; None finds it.
    columns: maps the format's names of fields to the file's, as in
      {'prompt': 'question'}. Other columns are read where they have the name of
      a field.

  Returns:
    Records of one kind, with notes of the format that was read, and of what was
    left out.

  Raises:
    DataError: the file is of no format that is known, which names the nearest
      and what is missing; or a row does not fit.
  """
  if prepared.is_split(path):
    if format is not None or columns:
      raise DataError(
        f'{path} is of a prepared dataset, which has no format and columns to '
        'be named; leave them out.'
      )
    return prepared.Split(path)
  if format is not None and not isinstance(format, Format):
    raise DataError(
      f'{getattr(format, "__qualname__", format)} is no format; name one, such '
      'as rlhf_jax.data.formats.HH_RLHF.'
    )
  return stream_as(path, FORMATS if format is None else (format,), columns)


@reader
def comparisons(
  path: str | pathlib.Path,
  *,
  format: Callable[..., Records] | None = None,
  columns: Mapping[str, str] | None = None,
) -> Stream:
  """As `read`, of files that compare or label responses."""
  return Then(read.stream(path, format=format, columns=columns), compared)


def labels(
  path: str | pathlib.Path, columns: Mapping[str, str] | None = None
) -> bool:
  """Whether a file labels single responses, as far as its first record says.

  Arguments and errors are as of `read`; nothing behind it is looked at.
  """
  if prepared.is_split(path):
    (record,) = prepared.Split(path)[:1] or (None,)
  else:
    record = first_record(rows_of(path), FORMATS, columns)
  return isinstance(record, Comparison) and len(record.responses) == 1


@reader
def demonstrations(
  path: str | pathlib.Path,
  *,
  format: Callable[..., Records] | None = None,
  columns: Mapping[str, str] | None = None,
) -> Stream:
  """As `read`, of files with responses to imitate; of comparisons, the best."""
  found = read.stream(path, format=format, columns=columns)
  return Then(found, demonstrated)


@reader
def prompts(
  path: str | pathlib.Path,
  *,
  format: Callable[..., Records] | None = None,
  columns: Mapping[str, str] | None = None,
) -> Stream:
  """As `read`, of any file: its prompts, each once."""
  return Then(read.stream(path, format=format, columns=columns), _prompts)


def compared(stream: Stream | Records) -> Iterator[Record]:
  """The same records, which have to compare or label responses."""
  return _some(stream, 'comparisons', Comparison)


def demonstrated(stream: Stream | Records) -> Iterator[Record | LeftOut]:
  """Responses to imitate: those of the records or, of comparisons, the best."""
  return map(_best, _some(stream, 'demonstrations', Demonstration | Comparison))


def _prompts(stream: Stream | Records) -> Iterator[Prompt]:
  known = set()
  for record in _some(stream, 'prompts', Record):
    conversation = splits.conversation(record)
    if conversation not in known:
      known.add(conversation)
      yield prompt_of(record)


def _some(
  stream: Stream | Records, needed: str, kinds: Any
) -> Iterator[Record]:
  """The same records, of which there have to be some, and of these kinds."""
  found = iter(stream)
  first = next(found, None)
  if first is None:
    raise DataError(
      f'{"; ".join(stream.notes)}: nothing is there to learn from.'
    )
  if not isinstance(first, kinds):
    collections.deque(found, maxlen=0)  # The notes come at the end.
    raise DataError(f'{stream.notes[0]}; {needed} are needed here.')
  yield first
  yield from found


def _best(record: Record) -> Record | LeftOut:
  if isinstance(record, Demonstration):
    return record
  if len(record.responses) == 1 and record.scores and record.scores[0] < 0.0:
    return LeftOut(record.prompt.where, 'the response is not a good one')
  return Demonstration(record.prompt, record.responses[0])
