"""Labelled pairs to measure judges on, of records that compare responses."""

import itertools
from collections.abc import Sequence

from rlhf_jax.evaluation.agreement import LabelledPair
from rlhf_jax.feedback.drawing import uniform
from rlhf_jax.types import Comparison

SEED = 0  # Of which pairs are taken; the same ones in every run.


def pairs(
  records: Sequence[Comparison],
  *,
  least_gap: float = 0.0,
  per_prompt: int | None = None,
  count: int | None = None,
) -> list[LabelledPair]:
  """Every two different responses of a record, labelled by their order.

  By their scores where there are some: equal ones are a tie. Which pairs are
  taken depends on their texts alone, by a hash.

  Args:
    records: comparisons, the best response of each first.
    least_gap: pairs whose scores are nearer are left out.
    per_prompt: so many of a record; all where None.
    count: so many in all; all where None.

  Raises:
    ValueError: records of single responses, or nothing is left.
  """
  found = []
  for record in records:
    own = sorted(_of_record(record, least_gap), key=_draw)[:per_prompt]
    found += own
  if count is not None and count < len(found):
    taken = set(
      sorted(range(len(found)), key=lambda i: _draw(found[i]))[:count]
    )
    found = [pair for i, pair in enumerate(found) if i in taken]
  if not found:
    raise ValueError(
      f'{len(records)} records hold no two different responses to one prompt'
      + (f' whose scores differ by {least_gap:g}' if least_gap else '')
      + ', and a judge is measured on such pairs; give data that compare'
    )
  return found


def _of_record(record, least_gap):
  """The pairs of a record, in order."""
  scores = record.scores
  for i, j in itertools.combinations(range(len(record.responses)), 2):
    first, second = record.responses[i], record.responses[j]
    gap = None if scores is None else scores[i] - scores[j]
    if first == second or (
      least_gap > 0 and gap is not None and gap < least_gap
    ):
      continue
    label = 1.0 if gap is None else 0.5 if gap == 0 else float(gap > 0)
    models = (record.models[i], record.models[j]) if record.models else ()
    yield LabelledPair(record.prompt, first, second, label, models)


def _draw(pair):
  return uniform(SEED, pair.prompt, pair.first, pair.second)
