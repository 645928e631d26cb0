"""What is said of records as tokens: lengths, cuts and padding."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from launch.inspecting import sizes
from launch.inspecting.words import line, of, table
from rlhf_jax.data import (
  DataError,
  encoding,
  lengths,
  names,
  token_inspection,
)
from rlhf_jax.data.limits import Limits, keep_end
from rlhf_jax.data.readers import Records
from rlhf_jax.data.templates import ChatFormat
from rlhf_jax.data.tokens import Tokenizer
from rlhf_jax.evaluation import tables
from rlhf_jax.experiment.datasets import encoding_shown

LIMITS = (128, 256, 512, 1024, 2048)
NO_LIMIT = 2**30


class TokenizedRecords(NamedTuple):
  """Records as tokens.

  Attributes:
    records: how many there are, and how many of them became tokens.
    lengths: without limits.
    examples: as a training would have them; whole ones where it would not
      begin.
    counts: what the limits cut, and what was left out of the training.
    padding: of its batches; None where it would not begin.
    refusal: why it would not begin; or ''.
  """

  records: tuple[int, int]
  lengths: lengths.Lengths
  examples: Sequence[encoding.Example]
  counts: encoding.Counts
  padding: token_inspection.Padding | None
  refusal: str = ''


def encode(
  records: Records, tokenizer: Tokenizer, template: ChatFormat, given: Any
) -> TokenizedRecords:
  """Encodes records, some of them where `given.tokenized` says so.

  Args:
    records: of a dataset.
    tokenizer, template: that they are encoded by.
    given: the command's Settings.
  """
  chosen = evenly(records, given.tokenized or len(records))
  counted = (len(records), len(chosen))
  watch = encoding_shown(len(chosen), sys.stderr)
  unlimited = Limits(max_prompt_tokens=NO_LIMIT, max_response_tokens=NO_LIMIT)
  whole, _ = encoding.encode_all(chosen, tokenizer, template, unlimited, watch)
  measured = lengths.token_lengths(whole)
  limits = limits_of(given)
  try:
    examples, counts = encoding.encode(
      chosen, tokenizer, template, limits, watch
    )
    padding = token_inspection.padding(
      alike(examples),
      batch_size=given.batch_size,
      pad_id=tokenizer.pad_id,
      limits=limits,
      row_length=row_length(given),
    )
  except DataError as error:
    none = encoding.Counts()
    return TokenizedRecords(counted, measured, whole, none, None, str(error))
  return TokenizedRecords(counted, measured, examples, counts, padding)


def evenly(items: Sequence[Any], count: int) -> list[Any]:
  """At most `count` of some items, evenly spread, in order."""
  places = np.linspace(0, len(items) - 1, min(count, len(items)))
  return [items[place] for place in places.round().astype(int)]


def limits_of(given: Any) -> Limits:
  """The limits that are set, as the recipes have them."""
  most = given.max_prompt_tokens + given.max_response_tokens
  return Limits(
    max_prompt_tokens=given.max_prompt_tokens,
    max_response_tokens=given.max_response_tokens,
    overlong=keep_end,
    buckets=tuple(range(given.pad_to, most, given.pad_to)),
  )


def row_length(given: Any) -> int:
  """Tokens of a packed row."""
  return given.row_length or given.max_prompt_tokens + given.max_response_tokens


def alike(examples: Sequence[encoding.Example]) -> list[encoding.Example]:
  """Those of the kind of the first, which can share a batch."""
  kind = type(examples[0].record)
  return [example for example in examples if type(example.record) is kind]


def sections(found: TokenizedRecords, given: Any) -> Iterator[str]:
  """Lengths, what limits cut, and what of a batch is padding."""
  total, tokenized = found.records
  if tokenized < total:
    yield line(
      'tokens of', f'{of(tokenized, total)} of the records, evenly spread'
    )
  yield sizes.spreads('tokens', found.lengths._asdict())
  yield sizes.histograms('tokens', found.lengths)
  yield table(longer_rows(found.lengths, given))
  if found.padding is not None:
    yield line('at the limits set', cuts(found.counts))
    yield table(padding_rows(found.padding, given))


def longer_rows(found: lengths.Lengths, given: Any) -> tables.Table:
  """A row a limit: how many prompts, responses, and both are longer."""
  rows = [['longer than', 'prompts', 'responses', 'both']]
  limits = {*LIMITS, given.max_prompt_tokens, given.max_response_tokens}
  for limit in sorted(limits):
    longer = lengths.longer_than(found, limit)
    pairs = zip(longer[1:], found, strict=True)
    rows.append([f'{limit:,}', *(of(n, len(every)) for n, every in pairs)])
  return rows


def cuts(counts: encoding.Counts) -> str:
  """'12 truncated prompts, …', of the counts above 0."""
  said = names.amounts(counts._asdict())
  return ', '.join(said) or 'nothing is cut or left out'


def padding_rows(found: token_inspection.Padding, given: Any) -> tables.Table:
  """A row a way to make batches: what share of them is padding."""
  rows = [[f'batches of {given.batch_size}', 'padding']]
  names = {
    'at random': found.at_random,
    'of like length': found.of_like_length,
    f'packed into rows of {row_length(given):,}': found.packed,
  }
  for name, share in names.items():
    if share is not None:
      rows.append([name, f'{100 * share:.0f} %'])
  return rows
