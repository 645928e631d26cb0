"""What a dataset holds in tokens, as the model will see it."""

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.data import orders
from rlhf_jax.data.batches import Batches
from rlhf_jax.data.collation import collate
from rlhf_jax.data.encoding import Example
from rlhf_jax.data.limits import Limits
from rlhf_jax.data.packing import pack
from rlhf_jax.data.tokens import Tokenizer
from rlhf_jax.types import Demonstration, Prompt

BROKEN = '\N{REPLACEMENT CHARACTER}'
LONGEST_LETTER = 4  # Tokens, of a byte each.


class Padding(NamedTuple):
  """The share of the places for tokens that hold none.

  Attributes:
    at_random: in batches drawn at random.
    of_like_length: in batches of `orders.of_like_length`; None of prompts,
      which are drawn at random.
    packed: in rows that several demonstrations share; None where they cannot.
  """

  at_random: float
  of_like_length: float | None
  packed: float | None


def padding(
  examples: Sequence[Example],
  *,
  batch_size: int,
  pad_id: int,
  limits: Limits,
  row_length: int,
) -> Padding:
  """Of an epoch of batches, by how they are made.

  Args:
    examples: one or more, of one kind.
    batch_size: rows of a batch.
    pad_id: of the padding.
    limits: that the examples were encoded under; they say what is padded to.
    row_length: tokens of a packed row.

  Raises:
    DataError: a demonstration is longer than a packed row.
  """
  asked = isinstance(examples[0].record, Prompt)
  in_order = functools.partial(
    Batches,
    examples,
    batch_size=batch_size,
    seed=0,
    pad_id=pad_id,
    limits=limits,
  )
  return Padding(
    of_batches(in_order(order=orders.at_random)),
    None if asked else of_batches(in_order(order=orders.of_like_length)),
    of_packs(examples, row_length),
  )


def of_batches(batches: Batches) -> float:
  """The share of padding in whole batches, or in the first without one."""
  steps = max(len(batches.examples) // batches.batch_size, 1)
  real = places = 0
  for step in range(steps):
    mask = batches[step].attention_mask
    real += int(mask.sum())
    places += mask.size
  return 1.0 - real / places


def of_packs(examples: Sequence[Example], row_length: int) -> float | None:
  """The share of padding in packed rows; None of what cannot be packed."""
  for example in examples:
    if not isinstance(example.record, Demonstration):
      return None
    if example.record.weight != 1.0:
      return None
  packs = pack(examples, row_length)
  return 1.0 - sum(each.length for each in packs) / (len(packs) * row_length)


class Span(NamedTuple):
  """Tokens of a row, one after the other, that are learnt or not.

  Attributes:
    pieces: the text of each; one piece of several that make a letter.
    learnt: whether the loss is of them: whether the response mask holds.
  """

  pieces: tuple[str, ...]
  learnt: bool


def rows(example: Example, tokenizer: Tokenizer) -> list[tuple[Span, ...]]:
  """An example's rows in its batch: one, or that of each response.

  Read from the batch itself. Nothing is learnt of a row without a response
  mask: of a prompt, or of a rated response.
  """
  limits = Limits(
    max_prompt_tokens=max(len(example.prompt_ids), 1),
    max_response_tokens=max(example.length, 1),
  )
  batch = collate([example], pad_id=tokenizer.pad_id, limits=limits)
  tokens = np.asarray(batch.tokens)
  real = np.asarray(batch.attention_mask)
  learnt = np.asarray(getattr(batch, 'response_mask', np.zeros_like(real)))
  width = tokens.shape[-1]
  by_row = (array.reshape(-1, width) for array in (tokens, real, learnt))
  return [
    _runs(ids[kept].tolist(), mask[kept].tolist(), tokenizer)
    for ids, kept, mask in zip(*by_row, strict=True)
  ]


def _runs(
  ids: Sequence[int], learnt: Sequence[bool], tokenizer: Tokenizer
) -> tuple[Span, ...]:
  groups = itertools.groupby(zip(ids, learnt, strict=True), lambda at: at[1])
  return tuple(
    Span(tuple(pieces([i for i, _ in group], tokenizer)), mask)
    for mask, group in groups
  )


def pieces(ids: Sequence[int], tokenizer: Tokenizer) -> list[str]:
  """The text of each token, special ones by their names.

  Tokens that are a letter only together are one piece.
  """
  found, at = [], 0
  while at < len(ids):
    size = 1
    for more in range(1, LONGEST_LETTER + 1):
      if BROKEN not in _text(ids[at : at + more], tokenizer):
        size = more
        break
    found.append(_text(ids[at : at + size], tokenizer))
    at += size
  return found


def _text(ids: Sequence[int], tokenizer: Tokenizer) -> str:
  names = [tokenizer.backend.id_to_token(i) or '' for i in ids]
  if names[0].startswith('▁'):  # Of SentencePiece, whose decoder drops it.
    return names[0].replace('▁', ' ')
  return tokenizer.backend.decode(list(ids), skip_special_tokens=False)
