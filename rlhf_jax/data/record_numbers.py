"""The numbers of records, and what is refused of them."""

import math
from itertools import pairwise

from rlhf_jax.data.jsonl import DataError
from rlhf_jax.types import Comparison, Record


def check(record: Record, where: str) -> None:
  """Refuses numbers that are none, and scores that do not fit the responses."""
  weight = getattr(record, 'weight', 1.0)
  if not (math.isfinite(weight) and weight >= 0.0):
    raise DataError(
      f'{where}: the weight is {weight}; give a finite number of 0 or more.'
    )
  if isinstance(record, Comparison):
    _check_scores(record, where)


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
