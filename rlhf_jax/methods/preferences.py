"""Comparisons of the policy's own samples, ranked by an annotator.

Source: Ouyang et al. 2022, §3.5, step 2; AlpacaFarm, Dubois et al. 2023, §3.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rlhf_jax.feedback import scoring
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.stages import DatasetMethod, RecordBatch
from rlhf_jax.types import Comparison, Mean, Prompt, Record, prompt_of
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

# (prompt, response_a, response_b, seed) -> True where a is preferred, None
# without a verdict.
Annotator = Callable[[Prompt, str, str, int], bool | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config:
  """How pairs are sampled and who ranks them.

  Attributes:
    annotate: the annotator.
    count: how many comparisons to ask for.
    batch_size: prompts answered at a time.
    sampling: of the two responses.
  """

  annotate: Annotator
  count: Count
  batch_size: Count = 256
  sampling: Sampling = Sampling(temperature=1.0)


def build(
  records: Sequence[Record], queries: Any, *, config: Config
) -> RecordBatch:
  """Two responses to each prompt, the preferred one first.

  Prompts whose two responses are the same text, which no annotator can rank,
  have no Comparison, nor have those without a verdict, whose share is a fact.
  Responses that the token limit cut are compared as they are, and stay cut.
  """
  pairs = queries.sample(samples=2, sampling=config.sampling)
  prompts = [prompt_of(record) for record in records]
  written, undecided = [], []
  for prompt, (a, b), seed in zip(prompts, pairs, queries.seeds, strict=True):
    if a == b:
      continue
    first = scoring.verdict(config.annotate, prompt, a, b, seed)
    undecided.append(first is None)
    if first is not None:
      written.append(Comparison(prompt, (a, b) if first else (b, a)))
  return RecordBatch(written, {'undecided_share': Mean.of(np.array(undecided))})


# Annotated pairs of a policy's samples.
stages = DatasetMethod(
  name='preferences',
  data='prompts',
  build=build,
  builds=Comparison,
  policy='policy',
)
