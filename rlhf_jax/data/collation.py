"""Examples to padded batches, with masks from the lengths."""

import functools
from collections.abc import Sequence

import numpy as np

from rlhf_jax.data.examples import Example
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.limits import Limits
from rlhf_jax.data.packing import Pack
from rlhf_jax.types import (
  Comparison,
  Comparisons,
  Demonstrations,
  Prompt,
  Prompts,
  Rated,
  Ratings,
  Sampled,
  Samples,
)


def collate(
  examples: Sequence[Example] | Sequence[Pack],
  *,
  pad_id: int,
  limits: Limits,
  longest: int | None = None,
  candidates: int | None = None,
  weighted: bool = False,
) -> Prompts | Demonstrations | Comparisons | Ratings | Samples:
  """The batch of examples of one kind.

  Args:
    examples: of prompts they become Prompts, of demonstrations Demonstrations,
      of comparisons Comparisons, of rated responses Ratings, of a policy's
      samples Samples, and in packs Demonstrations with segments.
    pad_id: fills rows; nothing reads it.
    limits: they set the number of columns.
    longest: tokens of the longest example of the global batch, where these are
      only some of its rows.
    candidates: K of comparisons or samples; that of the longest list if None.
      Shorter lists leave their last rows empty.
    weighted: whether demonstrations come with their weights.
  """
  if isinstance(examples[0], Pack):
    rows = [pack.examples for pack in examples]
    return packed(rows, examples[0].row_length, pad_id)
  longest = longest or max(example.length for example in examples)
  kind = examples[0].kind
  if kind is Prompt:
    return prompts(examples, limits.prompt_columns(longest), pad_id)
  columns = limits.columns(longest)
  if kind is Comparison:
    return comparisons(examples, columns, pad_id, candidates)
  if kind is Sampled:
    return samples(examples, columns, pad_id, candidates)
  if kind is Rated:
    return ratings(examples, columns, pad_id)
  batch = demonstrations(examples, columns, pad_id)
  if weighted:
    weights = [example.held.weight for example in examples]
    batch = batch.replace(weight=np.array(weights, np.float32))
  return batch


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
  rows = [[example] for example in examples]
  return packed(rows, columns, pad_id).replace(segment_ids=None)


def ratings(examples: Sequence[Example], columns: int, pad_id: int) -> Ratings:
  """Ratings [B, T], one response a row, padded on the right.

  Raises:
    DataError: responses with different numbers of ratings.
  """
  rated = [example.held.ratings for example in examples]
  for example, given in zip(examples, rated, strict=True):
    if len(given) != len(rated[0]):
      raise DataError(
        f'record {example.index} has {len(given)} ratings and record '
        f'{examples[0].index} has {len(rated[0])}; give each response one for '
        'every attribute, None where there is none.'
      )
  batch = demonstrations(examples, columns, pad_id)
  return Ratings(
    tokens=batch.tokens,
    attention_mask=batch.attention_mask,
    ratings=np.array(
      [[0.0 if x is None else x for x in row] for row in rated], np.float32
    ),
    rating_mask=np.array([[x is not None for x in row] for row in rated]),
  )


def packed(
  rows: Sequence[Sequence[Example]], columns: int, pad_id: int
) -> Demonstrations:
  """Demonstrations [B, T], several a row, padded on the right."""
  tokens, segment_ids, response_mask = _rows(
    [[(e.prompt_ids, e.response_ids[0]) for e in row] for row in rows],
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
  examples: Sequence[Example],
  columns: int,
  pad_id: int,
  candidates: int | None = None,
) -> Comparisons:
  """Comparisons [B, K, T], padded on the right."""
  responses = samples(examples, columns, pad_id, candidates)
  numbers = functools.partial(
    _of_all, examples, responses.candidate_mask.shape[1]
  )
  return Comparisons(
    **vars(responses),
    margins=np.array([e.held.margin for e in examples], np.float32),
    weight=np.array([e.held.weight for e in examples], np.float32),
    scores=numbers('scores', [e.held.scores for e in examples]),
    targets=_targets(examples, columns, pad_id),
    reference_logps=numbers(
      'reference log-probs', [e.reference_logps for e in examples]
    ),
    features=numbers('features', [e.features for e in examples]),
  )


def samples(
  examples: Sequence[Example],
  columns: int,
  pad_id: int,
  candidates: int | None = None,
) -> Samples:
  """Samples [B, K, T], padded on the right."""
  counts = np.array([len(example.response_ids) for example in examples])
  candidates = candidates or int(counts.max())
  empty = ([], [])
  rows = []
  for example in examples:
    rows += [[(example.prompt_ids, ids)] for ids in example.response_ids]
    rows += [[empty]] * (candidates - len(example.response_ids))
  tokens, segment_ids, response_mask = _rows(rows, columns, pad_id)
  shape = (len(examples), candidates, columns)
  return Samples(
    tokens=tokens.reshape(shape),
    attention_mask=(segment_ids > 0).reshape(shape),
    response_mask=response_mask.reshape(shape),
    candidate_mask=np.arange(candidates) < counts[:, None],
  )


def _of_all(examples, candidates, what, values) -> np.ndarray | None:
  """[B, K, …] the numbers of each example, padded with 0; None without any."""
  _refuse_some(examples, what, values)
  if values[0] is None:
    return None
  each = np.shape(values[0])[1:]
  filled = np.zeros((len(values), candidates, *each), np.float32)
  for row, numbers in enumerate(values):
    filled[row, : len(numbers)] = numbers
  return filled


def _targets(examples, columns, pad_id) -> Demonstrations | None:
  """The responses to imitate beside the comparisons, or None."""
  targets = [example.target_ids for example in examples]
  _refuse_some(examples, 'a target', targets)
  if targets[0] is None:
    return None
  imitated = [
    example._replace(response_ids=(target,))
    for example, target in zip(examples, targets, strict=True)
  ]
  return demonstrations(imitated, columns, pad_id)


def _refuse_some(examples, what, values):
  """Refuses a value that only some have: batches would differ in structure."""
  for example, value in zip(examples, values, strict=True):
    if (value is None) != (values[0] is None):
      has, lacks = (examples[0], example)[:: -1 if values[0] is None else 1]
      raise DataError(
        f'record {has.index} has {what} and record {lacks.index} has not; '
        'give all of a dataset some, or none.'
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
