"""What a dataset holds, in numbers: its records, before anything is trained."""

import collections
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.data import fields
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Rated,
  Record,
  prompt_of,
  responses_of,
)


class Contents(NamedTuple):
  """How many records there are, by what they are.

  Attributes:
    kinds: by `kind_of`.
    prompt_kinds: by the kind of their prompt; '' where it has none.
    messages: by the messages of their prompt.
    responses: by their responses.
    first_roles, last_roles: by who begins and who ends their prompt.
    answers: with an answer that a program can check.
  """

  kinds: Mapping[str, int]
  prompt_kinds: Mapping[str, int]
  messages: Mapping[int, int]
  responses: Mapping[int, int]
  first_roles: Mapping[str, int]
  last_roles: Mapping[str, int]
  answers: int


def kind_of(record: Record) -> str:
  """What a record of a file is, in a plural."""
  match record:
    case Comparison(_, [_]):
      return 'labelled responses'
    case Comparison(_, [_, _]):
      return 'pairs'
    case Comparison():
      return 'ranked lists'
    case Demonstration():
      return 'demonstrations'
    case Rated():
      return 'rated responses'
  return 'prompts'


def contents(records: Sequence[Record]) -> Contents:
  """How many of what there are."""
  asked = [prompt_of(record) for record in records]
  count = collections.Counter
  return Contents(
    kinds=count(map(kind_of, records)),
    prompt_kinds=count(prompt.kind for prompt in asked),
    messages=count(len(prompt.messages) for prompt in asked),
    responses=count(len(responses_of(record)) for record in records),
    first_roles=count(p.messages[0].role for p in asked if p.messages),
    last_roles=count(p.messages[-1].role for p in asked if p.messages),
    answers=sum(bool(prompt.answer) for prompt in asked),
  )


class Repeats(NamedTuple):
  """What is there more than once, letter by letter.

  Attributes:
    prompts: different conversations that are asked.
    sharing: records whose prompt another record has too.
    doubles: records that one before them equals in prompt and responses.
  """

  prompts: int
  sharing: int
  doubles: int


def repeats(records: Sequence[Record]) -> Repeats:
  """What is there more than once. A record that asks nothing shares nothing."""
  asked = collections.Counter(
    prompt_of(record).messages
    for record in records
    if prompt_of(record).messages
  )
  whole = {(prompt_of(r).messages, responses_of(r)) for r in records}
  return Repeats(
    prompts=len(asked),
    sharing=sum(count for count in asked.values() if count > 1),
    doubles=len(records) - len(whole),
  )


class ResponseCounts(NamedTuple):
  """What little responses may have to tell.

  Attributes:
    count: responses.
    empty: those that show nothing.
    identical: records of several responses that are all one text.
    repeated: records of several, with a text more than once beside others.
  """

  count: int
  empty: int
  identical: int
  repeated: int


def responses(records: Sequence[Record]) -> ResponseCounts:
  """How many responses are empty, or the same as another of their record."""
  lists = [responses_of(record) for record in records]
  several = [said for said in lists if len(said) > 1]
  return ResponseCounts(
    count=sum(map(len, lists)),
    empty=sum(not fields.visible(text) for said in lists for text in said),
    identical=sum(len(set(said)) == 1 for said in several),
    repeated=sum(1 < len(set(said)) < len(said) for said in several),
  )


class Preferences(NamedTuple):
  """How the first of several responses compares with the second.

  Attributes:
    count: comparisons of several responses.
    scored: those with scores.
    tied: those where the two have one score.
    longer, shorter: others, by the better response's length in characters.
    margins: [N] how much better the first is, of those that say it: in the
      units of the margin or, without one, of the scores.
  """

  count: int
  scored: int
  tied: int
  longer: int
  shorter: int
  margins: np.ndarray

  @property
  def decided(self) -> int:
    """Comparisons that say which of the two is better."""
    return self.count - self.tied

  @property
  def always_longer(self) -> float:
    """Accuracy of always preferring the longer one; equal lengths count ½."""
    equal = self.decided - self.longer - self.shorter
    return (self.longer + equal / 2) / max(self.decided, 1)


def preferences(records: Sequence[Record]) -> Preferences | None:
  """Of the comparisons of two responses or more; None where there are none."""
  compared = [
    record
    for record in records
    if isinstance(record, Comparison) and len(record.responses) > 1
  ]
  if not compared:
    return None
  decided = [one for one in compared if not _tied(one)]
  gaps = np.array(
    [len(one.responses[0]) - len(one.responses[1]) for one in decided]
  )
  margins = [_margin(one) for one in decided]
  return Preferences(
    count=len(compared),
    scored=sum(one.scores is not None for one in compared),
    tied=len(compared) - len(decided),
    longer=int((gaps > 0).sum()),
    shorter=int((gaps < 0).sum()),
    margins=np.array([margin for margin in margins if margin]),
  )


def _tied(comparison: Comparison) -> bool:
  scores = comparison.scores
  return bool(scores) and scores[0] == scores[1]


def _margin(comparison: Comparison) -> float:
  """How much better the first response is; 0 where nobody said."""
  if comparison.margin or not comparison.scores:
    return comparison.margin
  return comparison.scores[0] - comparison.scores[1]


class LabelCounts(NamedTuple):
  """Responses that are labelled one by one, by their label."""

  desirable: int
  undesirable: int


def labels(records: Sequence[Record]) -> LabelCounts | None:
  """Of responses that stand alone; None where none does.

  Desirable is one that scores above 0, or that nobody scored.
  """
  alone = [
    record.scores is None or record.scores[0] > 0.0
    for record in records
    if isinstance(record, Comparison) and len(record.responses) == 1
  ]
  return LabelCounts(sum(alone), len(alone) - sum(alone)) if alone else None


class Rating(NamedTuple):
  """One attribute's ratings: how many responses have one, and their range."""

  count: int
  least: float
  mean: float
  most: float


def ratings(records: Sequence[Record]) -> list[Rating | None]:
  """One an attribute, in the order of the dataset; None where nobody rated."""
  rated = [record.ratings for record in records if isinstance(record, Rated)]
  found = []
  for column in itertools.zip_longest(*rated):
    given = [value for value in column if value is not None]
    found.append(
      Rating(len(given), min(given), sum(given) / len(given), max(given))
      if given
      else None
    )
  return found
