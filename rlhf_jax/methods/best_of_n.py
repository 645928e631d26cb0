"""Best-of-n sampling as a source of data: the best response to each prompt.

Supervised fine-tuning on what it writes is expert iteration. (To answer with
the best of n instead, and train nothing, name it in an experiment's
`variants`; `evaluation.best_of_n` has its curve in n from one pool.)

Source: Stiennon et al. 2020; Nakano et al. 2021; Dubois et al. 2023
(AlpacaFarm), for expert iteration.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from rlhf_jax.feedback import ranking
from rlhf_jax.generation.sampling import PerPrompt
from rlhf_jax.stages import DatasetMethod
from rlhf_jax.types import Demonstration, Record, prompt_of
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(PerPrompt):
  """AlpacaFarm's n."""

  samples: Count = 16


def build(
  records: Sequence[Record], queries: Any, *, config: Config
) -> list[Demonstration]:
  """A Demonstration of each prompt's best response by the frozen reward.

  Of those that ended: one cut short would teach to ramble. Prompts where none
  did have none. Of equal scores the response drawn first is kept, which is a
  fair choice, since draws of one prompt are exchangeable.
  """
  sampled = queries.sample(
    samples=config.samples, sampling=config.sampling, ended=True
  )
  prompts = [prompt_of(record) for record in records]
  return [
    Demonstration(found.prompt, found.responses[0])
    for found in ranking.by_reward(prompts, sampled, queries)
  ]


# The best of a policy's responses.
stages = DatasetMethod(
  name='best_of_n',
  data='prompts',
  build=build,
  builds=Demonstration,
  policy='policy',
  frozen={'reward': 'reward'},
)
