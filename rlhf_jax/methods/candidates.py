"""Candidates ranked by a frozen reward: own samples, and what the data has.

RRHF's and PRO's data: to each record's prompt the policy gives some responses,
those that the record has already join them, and a reward model puts all in
order. Without samples it is the data's own responses that are scored.

Source: Yuan et al. 2023 (RRHF); Song et al. 2023 (PRO).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from rlhf_jax.feedback import ranking
from rlhf_jax.generation.sampling import PerPrompt
from rlhf_jax.stages import DatasetMethod
from rlhf_jax.types import Comparison, Record, prompt_of, responses_of
from rlhf_jax.types.rules import Natural
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(PerPrompt):
  """How many candidates there are, and where from.

  Attributes:
    samples: responses of the policy to each prompt; 0 for the data's alone.
    cut: whether those that the token limit cut are candidates too. RRHF and PRO
      imitate the best candidate, and one cut short would teach to ramble.
  """

  samples: Natural = 4
  cut: bool = False


def build(
  records: Sequence[Record], queries: Any, *, config: Config
) -> list[Comparison]:
  """A Comparison of each prompt's different responses, with their scores.

  Prompts with fewer than two different responses that could be scored have
  none.
  """
  own = [()] * len(records)
  if config.samples:
    own = queries.sample(
      samples=config.samples, sampling=config.sampling, ended=not config.cut
    )
  lists = [
    Comparison(
      prompt_of(record), ranking.distinct([*responses_of(record), *samples])
    )
    for record, samples in zip(records, own, strict=True)
  ]
  lists = [candidates for candidates in lists if len(candidates.responses) > 1]
  scores = queries.score(lists)
  found = [
    ranking.ranked(asked.prompt, asked.responses, row)
    for asked, row in zip(lists, scores, strict=True)
  ]
  return [candidates for candidates in found if len(candidates.responses) > 1]


# A policy's responses, ranked.
stages = DatasetMethod(
  name='candidates',
  data='prompts',
  build=build,
  builds=Comparison,
  policy='policy',
  frozen={'reward': 'reward'},
)
