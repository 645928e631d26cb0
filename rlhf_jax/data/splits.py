"""Training and held-out prompts, told apart by what the user says first."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

from rlhf_jax import types
from rlhf_jax.types import Comparison, Demonstration, Prompt, Rated, prompt_of

Record = TypeVar('Record', Prompt, Demonstration, Comparison, Rated)


def is_held_out(prompt: Prompt, share: float) -> bool:
  """Whether a prompt belongs to the share that is kept out of training.

  Decided by a hash of the user's first turn, without case and punctuation, and
  by nothing else: the same in every dataset, machine and order.

  Args:
    prompt: any prompt.
    share: part of all openings, in [0, 1].
  """
  said = next(m.content for m in prompt.messages if m.role == 'user')
  opening = ''.join(filter(str.isalnum, said.casefold())) or said
  digest = hashlib.sha256(opening.encode('utf-8', 'surrogatepass')).digest()
  return int.from_bytes(digest[:8], 'big') < share * 2**64


def split(
  records: Iterable[Record], share: float
) -> tuple[list[Record], list[Record]]:
  """(training, held-out) records, each in the order given."""
  records = list(records)
  held_out = [is_held_out(prompt_of(record), share) for record in records]
  sides = [(r, h) for r, h in zip(records, held_out, strict=True)]
  return [r for r, held in sides if not held], [r for r, held in sides if held]


def distinct_prompts(
  records: Sequence[types.Record],
) -> list[Prompt]:
  """Every conversation once, where it first occurs."""
  first = {}
  for record in records:
    prompt = prompt_of(record)
    first.setdefault(prompt.messages, prompt)
  return list(first.values())
