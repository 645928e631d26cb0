"""Pairs without annotators: a stronger author's text over a weaker one's.

The data are responses to the same prompts by authors of known strength, best
first. Pairs of them train DPO or SLiC, all at once or in the order of a
`data.curriculum.Curriculum`, from easy ones (far apart) to hard ones.

Source: Xu et al. 2024, "Automatic Pair Construction for Contrastive
Post-training" (arXiv 2310.02263).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from rlhf_jax.stages import DatasetMethod
from rlhf_jax.types import Comparison
from rlhf_jax.types.rules import Count, Natural
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config:
  """Which pairs are made.

  Attributes:
    pairs: (better, worse) places in the list of each prompt, from 0.
    count: pairs; None makes those of every prompt once.
    batch_size: prompts at a time.
  """

  pairs: tuple[tuple[Natural, Natural], ...]
  count: Count | None = None
  batch_size: Count = 1024


def build(
  records: Sequence[Comparison], queries: Any, *, config: Config
) -> list[Comparison]:
  """The chosen pairs of each list, with their scores.

  Two equal texts, which tell nothing, are no pair.
  """
  del queries  # Nobody is asked.
  pairs = [
    taken(record, *pair)
    for record in records
    for pair in config.pairs
    if max(pair) < len(record.responses)
  ]
  return [pair for pair in pairs if len(set(pair.responses)) == 2]


def taken(ranked: Comparison, better: int, worse: int) -> Comparison:
  """Two of a list of responses, as a pair."""
  scores = ranked.scores and (ranked.scores[better], ranked.scores[worse])
  responses = (ranked.responses[better], ranked.responses[worse])
  return Comparison(ranked.prompt, responses, scores=scores)


# Pairs of the responses that a dataset has.
stages = DatasetMethod(
  name='tier_pairs',
  data='tiers',
  reads=(Comparison,),
  build=build,
  builds=Comparison,
)
