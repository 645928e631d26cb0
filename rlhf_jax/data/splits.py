"""Training and held-out records, split by the user's first turn."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence

import numpy as np

from rlhf_jax.data import sequences
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.types import Prompt, Record, prompt_of, responses_of

TRAIN, VALIDATION, TEST = 'train', 'validation', 'test'
# What the user says after an answer to each of the test questions.
SECOND_TURNS = 'second_turns'


def is_held_out(record: Record, share: float) -> bool:
  """Whether a record belongs to the share that is kept out of training.

  That is a share, in [0, 1], of all openings. Decided by a hash of the record's
  and by nothing else: the same in every dataset, machine and order.
  """
  return opening(record) < math.ceil(share * 2**64)


def opening(record: Record) -> int:
  """A hash, below 2⁶⁴, of the user's first turn without case and punctuation.

  Without a prompt, of the first response; of what has no letters, the whole.
  """
  texts = responses_of(record)
  if messages := prompt_of(record).messages:
    texts = [m.content for m in messages if m.role == 'user']
  said = next(iter(texts), '')
  plain = ''.join(filter(str.isalnum, said.casefold())) or said
  digest = hashlib.sha256(plain.encode('utf-8', 'surrogatepass')).digest()
  return int.from_bytes(digest[:8], 'big')


def on_both_sides(
  training: Iterable[Record], held_out: Iterable[Record]
) -> int:
  """How many different openings are both trained on and held out."""
  return len(np.intersect1d(*map(_openings, (training, held_out))))


def _openings(records: Iterable[Record]) -> np.ndarray:
  """[N] as of `opening`."""
  kept = sequences.column(records, 'opening')
  if kept is not None:
    return kept
  return np.fromiter(map(opening, records), np.uint64)


def conversation(record: Record) -> int:
  """A hash of a record's conversation, below 2⁶⁴."""
  said = json.dumps(prompt_of(record).messages).encode()
  return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), 'big')


def split(
  records: Sequence[Record], share: float
) -> tuple[Sequence[Record], Sequence[Record]]:
  """(training, held-out) records, each in the order given."""
  openings = sequences.column(records, 'opening')
  if openings is not None:
    # No share reaches 2⁶⁴, which would be none of these numbers.
    held_out = openings < np.uint64(min(math.ceil(share * 2**64), 2**64 - 1))
    return tuple(
      sequences.Selected(records, np.flatnonzero(side))
      for side in (~held_out, held_out)
    )
  sides = [], []
  for record in records:
    sides[is_held_out(record, share)].append(record)
  return sides


def check_sides(
  training: Sequence[Record], held_out: Sequence[Record], of: str, or_: str = ''
) -> None:
  """Refuses to go on where one of the two sides has no records.

  Args:
    of: how many there were, and of what.
    or_: what helps besides more of them: ', or …'.
  """
  if not training or not held_out:
    raise DataError(
      f'of {of} {len(training)} are left to train on and {len(held_out)} to '
      f'test on; give more of them{or_}.'
    )


def distinct_prompts(records: Sequence[Record]) -> Sequence[Prompt]:
  """The prompts of records, each conversation once, where it first occurs."""
  conversations = sequences.column(records, 'conversation')
  if conversations is not None:
    _, first = np.unique(conversations, return_index=True)
    return sequences.Selected(records, np.sort(first), prompt_of, 'prompts')
  found = {}
  for record in records:
    prompt = prompt_of(record)
    found.setdefault(prompt.messages, prompt)
  return list(found.values())
