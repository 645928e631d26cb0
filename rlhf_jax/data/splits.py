"""Training and held-out records, split by the user's first turn."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

from rlhf_jax import types
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Prompt,
  Rated,
  prompt_of,
  responses_of,
)

Record = TypeVar('Record', Prompt, Demonstration, Comparison, Rated)


def is_held_out(prompt: Prompt, share: float) -> bool:
  """Whether a prompt belongs to the share that is kept out of training.

  Decided by a hash of the user's first turn, without case and punctuation, and
  by nothing else: the same in every dataset, machine and order.

  Args:
    prompt: any prompt.
    share: part of all openings, in [0, 1].
  """
  said = (m.content for m in prompt.messages if m.role == 'user')
  return _falls_below(next(said, ''), share)


def _falls_below(said: str, share: float) -> bool:
  opening = ''.join(filter(str.isalnum, said.casefold())) or said
  digest = hashlib.sha256(opening.encode('utf-8', 'surrogatepass')).digest()
  return int.from_bytes(digest[:8], 'big') < share * 2**64


def split(
  records: Iterable[Record], share: float
) -> tuple[list[Record], list[Record]]:
  """(training, held-out) records, each in the order given.

  A record without a prompt is split by its first response.
  """
  records = list(records)
  sides = [(record, _held_out(record, share)) for record in records]
  return [r for r, held in sides if not held], [r for r, held in sides if held]


def _held_out(record: Record, share: float) -> bool:
  if prompt_of(record).messages:
    return is_held_out(prompt_of(record), share)
  return _falls_below(responses_of(record)[0], share)


def distinct_prompts(records: Sequence[types.Record]) -> list[Prompt]:
  """The prompts of records, each conversation once, where it first occurs."""
  first = {}
  for record in records:
    prompt = prompt_of(record)
    first.setdefault(prompt.messages, prompt)
  return list(first.values())
