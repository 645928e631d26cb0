"""Examples to batches: padding, and masks that come from lengths alone."""

from collections.abc import Sequence

import numpy as np

from rlhf_jax.data.encoding import Example
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.limits import Limits
from rlhf_jax.data.packing import Pack
from rlhf_jax.types import Comparisons, Demonstrations, Prompts


def collate(
  examples: Sequence[Example] | Sequence[Pack],
  *,
  pad_id: int,
  limits: Limits,
  longest: int | None = None,
) -> Prompts | Demonstrations | Comparisons:
  """The batch of examples of one kind.

  Args:
    examples: without responses they become Prompts, with one Demonstrations,
      with more Comparisons, and in packs Demonstrations with segments.
    pad_id: what fills rows; nothing reads it.
    limits: they say how many columns there are.
    longest: tokens of the longest example of the global batch, where these are
      only some of its rows.
  """
  longest = longest or max(example.length for example in examples)
  if isinstance(examples[0], Pack):
    return packed(examples, examples[0].row_length, pad_id)
  candidates = len(examples[0].response_ids)
  for example in examples:
    if len(example.response_ids) != candidates:
      raise DataError(
        f'record {example.index} has {len(example.response_ids)} responses and '
        f'record {examples[0].index} has {candidates}; all of a dataset need '
        'the same number.'
      )
  if candidates == 0:
    return prompts(examples, limits.prompt_columns(longest), pad_id)
  if candidates == 1:
    return demonstrations(examples, limits.columns(longest), pad_id)
  return comparisons(examples, limits.columns(longest), pad_id)


def prompts(examples: Sequence[Example], columns: int, pad_id: int) -> Prompts:
  """Prompts [B, P], padded on the left."""
  tokens = np.full((len(examples), columns), pad_id, np.int32)
  attention_mask = np.zeros(tokens.shape, bool)
  for row, example in enumerate(examples):
    start = columns - len(example.prompt_ids)
    tokens[row, start:] = example.prompt_ids
    attention_mask[row, start:] = True
  index = np.array([example.index for example in examples], np.int32)
  return Prompts(tokens=tokens, attention_mask=attention_mask, index=index)


def demonstrations(
  examples: Sequence[Example], columns: int, pad_id: int
) -> Demonstrations:
  """Demonstrations [B, T], one a row, padded on the right."""
  tokens, segment_ids, response_mask = _rows(
    [[(e.prompt_ids, e.response_ids[0])] for e in examples], columns, pad_id
  )
  return Demonstrations(
    tokens=tokens, attention_mask=segment_ids > 0, response_mask=response_mask
  )


def packed(packs: Sequence[Pack], columns: int, pad_id: int) -> Demonstrations:
  """Demonstrations [B, T], several a row, padded on the right."""
  tokens, segment_ids, response_mask = _rows(
    [
      [(e.prompt_ids, e.response_ids[0]) for e in pack.examples]
      for pack in packs
    ],
    columns,
    pad_id,
  )
  return Demonstrations(
    tokens=tokens,
    attention_mask=segment_ids > 0,
    response_mask=response_mask,
    segment_ids=segment_ids,
  )


def comparisons(
  examples: Sequence[Example], columns: int, pad_id: int
) -> Comparisons:
  """Comparisons [B, K, T], padded on the right."""
  tokens, segment_ids, response_mask = _rows(
    [[(e.prompt_ids, r)] for e in examples for r in e.response_ids],
    columns,
    pad_id,
  )
  shape = (len(examples), -1, columns)
  return Comparisons(
    tokens=tokens.reshape(shape),
    attention_mask=(segment_ids > 0).reshape(shape),
    response_mask=response_mask.reshape(shape),
    margins=np.array([example.margin for example in examples], np.float32),
    weight=np.ones(len(examples), np.float32),
  )


def _rows(
  contents: Sequence[Sequence[tuple[list[int], list[int]]]],
  columns: int,
  pad_id: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Writes each row's (prompt, response) pairs one after the other.

  Returns:
    [N, T] tokens, segment ids (from 1; 0 is padding) and response mask.
  """
  tokens = np.full((len(contents), columns), pad_id, np.int32)
  segment_ids = np.zeros(tokens.shape, np.int32)
  response_mask = np.zeros(tokens.shape, bool)
  for row, pairs in enumerate(contents):
    start = 0
    for segment, (prompt, response) in enumerate(pairs, start=1):
      middle = start + len(prompt)
      stop = middle + len(response)
      tokens[row, start:stop] = prompt + response
      segment_ids[row, start:stop] = segment
      response_mask[row, middle:stop] = True
      start = stop
  return tokens, segment_ids, response_mask
