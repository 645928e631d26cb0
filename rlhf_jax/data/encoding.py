"""Records to ids within limits, with counts of what was cut or left out."""

import collections
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from rlhf_jax.data import fields
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.limits import Limits
from rlhf_jax.data.templates import Format, TemplateError
from rlhf_jax.data.tokens import Tokenizer, VocabularyError
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Prompt,
  Rated,
  Record,
  Response,
  Sampled,
  prompt_of,
)


class Example(NamedTuple):
  """A record with its ids.

  Attributes:
    record: the record.
    prompt_ids: up to where the response begins.
    response_ids: none of a prompt, one of a demonstration or of a rated
      response, K of a comparison or of samples; each closed by
      end-of-text unless it was cut.
    index: the record's place in its dataset.
    target_ids: the comparison's target, likewise, where it has one.
    reference_logps: of the responses under a frozen reference, in nats, where
      they were computed beforehand.
    features: [K, D] hidden states of the responses' ends, likewise.
  """

  record: Record
  prompt_ids: list[int]
  response_ids: tuple[list[int], ...]
  index: int
  target_ids: list[int] | None = None
  reference_logps: tuple[float, ...] | None = None
  features: np.ndarray | None = None

  @property
  def prompt(self) -> Prompt:
    """What was asked."""
    return prompt_of(self.record)

  @property
  def length(self) -> int:
    """Tokens of the prompt and its longest response."""
    said = [*self.response_ids, self.target_ids or []]
    return len(self.prompt_ids) + max(map(len, said))


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
  template: Format,
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
  _check_left(kept, records, counts)
  return kept, counts


def _check_left(
  examples: Sequence[Example], records: Sequence[Record], counts: Counts
) -> None:
  if records and not examples:
    counted = [f'{n} {name.replace("_", " ")}' for name, n in left_out(counts)]
    raise DataError(
      f'nothing is left of {len(records)} records, the first at '
      f'{prompt_of(records[0]).place}: {", ".join(counted)}. Give other data, '
      'or raise the limits.'
    )


def left_out(counts: Counts) -> list[tuple[str, int]]:
  """The counts above 0, by name, of examples that were left out."""
  cut = ('truncated_prompts', 'truncated_responses')
  return [(k, n) for k, n in counts._asdict().items() if n and k not in cut]


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
      if len(set(said)) == 1 or len(set(map(tuple, example.response_ids))) == 1:
        return 'identical_responses'
      if len(said) == 2 and record.scores and len(set(record.scores)) == 1:
        return 'tied_scores'
  return None


def encode_all(
  records: Iterable[Record],
  tokenizer: Tokenizer,
  template: Format,
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
  examples: list[Example] = []
  truncated_prompts = dropped_prompts = truncated_responses = 0
  for index, record in enumerate(watch(records)):
    prompt = prompt_of(record)
    where = prompt.where or f'record {index} ({prompt.text[:40]!r})'
    parts = template.parts(prompt, tokenizer)
    if not parts.ids:
      raise DataError(f'{where}: the prompt has no tokens; give it a text.')
    if len(parts.ids) > limits.max_prompt_tokens:
      parts = limits.overlong(parts, limits.max_prompt_tokens, where)
      truncated_prompts += parts is not None
      dropped_prompts += parts is None
    if parts is None:
      continue
    responses, target = _responses_and_target(record, where)
    texts = [*responses, *([] if target is None else [target])]
    whole = [response_ids(text, prompt, tokenizer, template) for text in texts]
    kept = [ids[: limits.max_response_tokens] for ids in whole]
    truncated_responses += sum(
      len(ids) > limits.max_response_tokens for ids in whole
    )
    count = len(responses)
    example = Example(record, parts.ids, tuple(kept[:count]), index)
    examples.append(example._replace(target_ids=(kept[count:] or [None])[0]))
  counts = Counts(truncated_prompts, dropped_prompts, truncated_responses)
  _check_left(examples, records, counts)
  return examples, counts


def response_ids(
  text: str, prompt: Prompt, tokenizer: Tokenizer, template: Format
) -> list[int]:
  """Ids of a response: those that were sampled, or else those of its text.

  Closed as the template closes a turn, unless it is a Response that was cut.
  """
  said = Response.of(text)
  if said.ids is not None:
    return list(said.ids)
  ids = template.encode_response(prompt, said, tokenizer)
  return [*ids, template.end_id(tokenizer)] if said.ended else ids


def decoded(
  ids: Sequence[int],
  ended: bool,
  prompt: Prompt,
  tokenizer: Tokenizer,
  template: Format,
) -> Response:
  """The text of a sampled response, for which `response_ids` gives its ids.

  Args:
    ids: of the response, the token that closed it included.
    ended: whether a token closed it.
    prompt: that it answers.
    tokenizer, template: of the ids.
  """
  said = Response(tokenizer.decode(ids), ended=ended)
  try:
    again = response_ids(said, prompt, tokenizer, template)
  except (TemplateError, VocabularyError):
    again = None  # Sampled ids need not be those of any text.
  if again == list(ids):
    return said
  return Response(said, ended=ended, ids=ids)


def _responses_and_target(
  record: Record, where: str
) -> tuple[Sequence[str], str | None]:
  """A record's responses and target, after checking its numbers."""
  match record:
    case Demonstration(_, response, weight):
      _check_weight(weight, where)
      return (response,), None
    case Rated(_, response):
      return (response,), None
    case Comparison():
      _check_weight(record.weight, where)
      _check_scores(record, where)
      return record.responses, record.target
    case Sampled():
      return [record.response(k) for k in range(len(record.responses))], None
  return (), None


def _check_weight(weight: float, where: str) -> None:
  if not (math.isfinite(weight) and weight >= 0.0):
    raise DataError(
      f'{where}: the weight is {weight}; give a finite number of 0 or more.'
    )


def _check_scores(comparison: Comparison, where: str) -> None:
  responses, scores = comparison.responses, comparison.scores
  if not responses:
    raise DataError(f'{where}: there are no responses to compare; give some.')
  if not (math.isfinite(comparison.margin) and comparison.margin >= 0.0):
    raise DataError(
      f'{where}: the margin is {comparison.margin}; give a finite number of 0 '
      'or more, by which the first response is better.'
    )
  if scores is None:
    return
  for k, score in enumerate(scores, start=1):
    if not math.isfinite(score):
      raise DataError(
        f'{where}: the score of response {k} is {score}; leave out responses '
        'that could not be scored.'
      )
  if len(scores) != len(responses):
    raise DataError(
      f'{where}: there are {len(scores)} scores and {len(responses)} '
      'responses; give each response one.'
    )
  for k, (better, worse) in enumerate(pairwise(scores), start=1):
    if worse > better:
      raise DataError(
        f'{where}: response {k + 1} scores {worse:g}, more than the one before '
        f'it ({better:g}); put the best first.'
      )
