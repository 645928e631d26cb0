"""Responses one by one with their rewards: the pool of offline methods.

A frozen reward scores what the data says and, if wanted, samples of a policy.
Nothing is ranked or chosen: bad responses are kept for what they teach.

Source: Hu et al. 2023 (arXiv 2308.12050).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.stages import DatasetMethod
from rlhf_jax.types import Comparison, Rated, Record, prompt_of, responses_of
from rlhf_jax.types.rules import Count, Natural
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config:
  """What is scored.

  Attributes:
    samples: responses of the policy to each record's prompt, beside those that
      the record has; 0 is the paper's data without generation.
    sampling: of these.
    count: responses; None scores those of every record once.
    batch_size: records at a time.
  """

  samples: Natural = 0
  sampling: Sampling = Sampling(temperature=1.0)
  count: Count | None = None
  batch_size: Count = 256


def build(
  records: Sequence[Record], queries: Any, *, config: Config
) -> list[Rated]:
  """Each response as a Rated whose one rating is its score, in reward units.

  Equal texts count as often as they are there. Samples that did not end are
  left out: nobody should learn to end where they were cut. So are responses
  that could not be scored.
  """
  own = [()] * len(records)
  if config.samples:
    own = queries.sample(
      samples=config.samples, sampling=config.sampling, ended=True
    )
  lists = [
    Comparison(prompt_of(record), (*responses_of(record), *samples))
    for record, samples in zip(records, own, strict=True)
  ]
  lists = [asked for asked in lists if asked.responses]
  return [
    Rated(asked.prompt, text, (float(score),))
    for asked, scores in zip(lists, queries.score(lists), strict=True)
    for text, score in zip(asked.responses, scores, strict=True)
    if math.isfinite(score)
  ]


# The responses of a dataset, and of a policy where one is given, scored.
stages = DatasetMethod(
  name='labelled',
  data='demonstrations',
  build=build,
  builds=Rated,
  policy='policy',
  frozen={'reward': 'reward'},
  sources={'policy': None},
)
