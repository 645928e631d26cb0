"""Training and held-out records, split by the user's first turn."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rlhf_jax.types import Prompt, Record, prompt_of, responses_of


class Published(NamedTuple):
  """The files, or splits, of a dataset that is published in splits.

  Attributes:
    training: to learn from.
    held_out: all others.
  """

  training: tuple[str, ...]
  held_out: tuple[str, ...] = ()


def is_held_out(record: Record, share: float) -> bool:
  """Whether a record belongs to the share that is kept out of training.

  Decided by a hash of its opening and by nothing else: the same in every
  dataset, machine and order.

  Args:
    record: any record.
    share: part of all openings, in [0, 1].
  """
  said = opening(record).encode('utf-8', 'surrogatepass')
  digest = hashlib.sha256(said).digest()
  return int.from_bytes(digest[:8], 'big') < share * 2**64


def opening(record: Record) -> str:
  """The user's first turn, without case and punctuation.

  Without a prompt, the first response; of what has no letters, the whole.
  """
  texts = responses_of(record)
  if messages := prompt_of(record).messages:
    texts = [m.content for m in messages if m.role == 'user']
  said = next(iter(texts), '')
  return ''.join(filter(str.isalnum, said.casefold())) or said


def on_both_sides(
  training: Iterable[Record], held_out: Iterable[Record]
) -> int:
  """How many different openings are both trained on and held out."""
  return len(set(map(opening, training)) & set(map(opening, held_out)))


def split(
  records: Iterable[Record], share: float
) -> tuple[list[Record], list[Record]]:
  """(training, held-out) records, each in the order given."""
  sides = [], []
  for record in records:
    sides[is_held_out(record, share)].append(record)
  return sides


def distinct_prompts(records: Sequence[Record]) -> list[Prompt]:
  """The prompts of records, each conversation once, where it first occurs."""
  first = {}
  for record in records:
    prompt = prompt_of(record)
    first.setdefault(prompt.messages, prompt)
  return list(first.values())
