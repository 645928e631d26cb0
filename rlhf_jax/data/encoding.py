"""Records to ids within limits, with counts of what was cut or left out."""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from rlhf_jax.data import ahead, fields, names, record_numbers, responses
from rlhf_jax.data.examples import Example
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.limits import Limits
from rlhf_jax.data.templates import ChatFormat, EncodedConversation
from rlhf_jax.data.tokens import Tokenizer
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Rated,
  Record,
  Response,
  Sampled,
  prompt_of,
  responses_of,
)

CHUNK = 128  # Records whose texts are encoded together.


class Counts(NamedTuple):
  """How much was cut or left out of a dataset.

  Attributes:
    truncated_prompts: cut by the limit.
    dropped_prompts: left out, being longer than the limit.
    truncated_responses: cut by the limit.
    identical_responses: comparisons left out, whose responses are one text, or
      the same ids once they are cut.
    tied_scores: pairs left out, whose scores are equal.
    empty_responses: records left out, whose response to learn from, the best of
      several, shows nothing.
  """

  truncated_prompts: int = 0
  dropped_prompts: int = 0
  truncated_responses: int = 0
  identical_responses: int = 0
  tied_scores: int = 0
  empty_responses: int = 0


def encode(
  records: Iterable[Record],
  tokenizer: Tokenizer,
  template: ChatFormat,
  limits: Limits,
  watch: Callable[[Sequence[Record]], Iterable[Record]] = iter,
) -> tuple[list[Example], Counts]:
  """Encodes a dataset, without the examples that nothing can be learnt from.

  Arguments and errors as those of `encode_all`.

  Returns:
    Examples in the records' order, and what was cut or left out.

  Raises:
    DataError: nothing is left.
  """
  records = list(records)
  examples, counts = encode_all(records, tokenizer, template, limits, watch)
  reasons = [unlearnable(example) for example in examples]
  kept = [e for e, reason in zip(examples, reasons, strict=True) if not reason]
  counts = counts._replace(**collections.Counter(filter(None, reasons)))
  check_left(kept, records, counts)
  return kept, counts


def check_left(
  examples: Sequence[Example], records: Sequence[Record], counts: Counts
) -> None:
  """Refuses records of which no examples are left."""
  if records and not examples:
    [all_of_them] = names.amounts({'records': len(records)})
    first = prompt_of(records[0]).place
    counted = ', '.join(names.amounts(left_out(counts)))
    raise DataError(
      f'nothing is left of {all_of_them}, the first at {first}: {counted}. '
      'Give other data, or raise the limits.'
    )


def left_out(counts: Counts) -> dict[str, int]:
  """The counts above 0, by name, of examples that were left out."""
  cut = ('truncated_prompts', 'truncated_responses')
  return {k: n for k, n in counts._asdict().items() if n and k not in cut}


def unlearnable(example: Example) -> str | None:
  """The count of an example that nothing can be learnt from; None of others."""
  match example.record:
    case Comparison(_, [best, _, *_]) if not undecided(example):
      pass
    case Demonstration(_, best) | Rated(_, best):
      pass
    case _:
      return undecided(example)
  return None if fields.visible(best) else 'empty_responses'


def undecided(example: Example) -> str | None:
  """The count of a comparison without a better response; None of others."""
  match example.record:
    case Comparison(_, [_, _, *_] as said) as record:
      if _are_alike(said) or _are_alike(example.response_ids):
        return 'identical_responses'
      if len(said) == 2 and record.scores and len(set(record.scores)) == 1:
        return 'tied_scores'
  return None


def _are_alike(texts: Sequence[Any]) -> bool:
  return texts.count(texts[0]) == len(texts)


def encode_all(
  records: Iterable[Record],
  tokenizer: Tokenizer,
  template: ChatFormat,
  limits: Limits,
  watch: Callable[[Sequence[Record]], Iterable[Record]] = iter,
) -> tuple[list[Example], Counts]:
  """Encodes records, whether or not anything can be learnt from them.

  Args:
    records: of any one kind.
    limits: of lengths, and how longer prompts are cut.
    watch: gives the records one by one, and may show how far it is.

  Returns:
    Examples in the records' order, and what was cut or dropped. An example's
    `index` is its record's, also after a record that was dropped.

  Raises:
    DataError: a prompt without tokens, or one that `overlong` refuses; scores
      that do not fit their responses; nothing is left.
  """
  records = list(records)
  tally = collections.Counter()
  examples = list(stream(watch(records), tokenizer, template, limits, tally))
  counts = Counts(**tally)
  check_left(examples, records, counts)
  return examples, counts


def stream(
  records: Iterable[Record],
  tokenizer: Tokenizer,
  template: ChatFormat,
  limits: Limits,
  tally: collections.Counter[str],
) -> Iterator[Example]:
  """Encodes records one after the other, of which it holds a few CHUNKs.

  What was cut or dropped is added to `tally`, by its name in Counts. Other
  arguments and errors as those of `encode_all`, which raises at an error; here
  what is before it has been yielded.
  """
  _ = tokenizer.marks  # Made now, or two threads would make them.

  def encoded(chunk):
    said = list(map(_said, chunk))
    # The others have the ids that were sampled.
    texts = [[one for one in each if one.ids is None] for each in said]
    asked = list(zip(map(prompt_of, chunk), texts, strict=True))
    found = template.encode_all(asked, tokenizer)
    return zip(chunk, said, found, strict=True)

  end_id = template.end_id(tokenizer)
  chunks = ahead.ahead(encoded, ahead.chunks(records, CHUNK))
  for index, one in enumerate(itertools.chain.from_iterable(chunks)):
    example = _example(index, *one, limits, end_id, tally)
    if example is not None:
      yield example


def _example(
  index: int,
  record: Record,
  said: Sequence[Response],
  encoded: EncodedConversation,
  limits: Limits,
  end_id: int,
  tally: collections.Counter[str],
) -> Example | None:
  """A record whose texts are encoded, within limits; None if they drop it."""
  prompt = prompt_of(record)
  where = prompt.where or f'record {index} ({prompt.text[:40]!r})'
  ids, most = encoded.prompt_ids, limits.max_prompt_tokens
  if not ids:
    raise DataError(f'{where}: the prompt has no tokens; give it a text.')
  if len(ids) > most:
    parts = limits.overlong(encoded.parts, most, where)
    if parts is None:
      tally['dropped_prompts'] += 1
      return None
    tally['truncated_prompts'] += 1
    ids = parts.ids
  record_numbers.check(record, where)
  whole = [responses.response_ids(one, encoded, end_id) for one in said]
  room = limits.max_response_tokens
  kept = [ids[:room] for ids in whole]
  tally['truncated_responses'] += sum(len(ids) > room for ids in whole)
  target = None
  if isinstance(record, Comparison) and record.target is not None:
    target = kept.pop()
  return Example(record, ids, tuple(kept), index, target)


def _said(record: Record) -> list[Response]:
  """A record's responses and, last, its target, if it has one."""
  texts = responses_of(record)
  match record:
    case Comparison() if record.target is not None:
      texts = (*texts, record.target)
    case Sampled():
      texts = map(record.response, range(len(texts)))
  return list(map(Response.of, texts))
