"""RLOO: a model learns from its answers, each held against the others.

Run: python -m launch.train experiments/finetune/rloo.py
  --set model=models/smollm2 --set data=prompts.jsonl
  --set reward=my_reward.score
A line of prompts.jsonl is {"prompt": "…"}, or any other format of
`rlhf_jax.data.formats`. my_reward.py has `def score(prompts, responses)`, which
returns a number for each response; a folder of a reward model does as well.
"""

import dataclasses

from experiments.finetune import recipe
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods import rloo
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(recipe.OnlineSettings):
  """As of all recipes that sample."""


def config(settings: Settings) -> Experiment:
  data, before, given = recipe.scored(settings)
  learnt = rloo.Config(**settings.lengths(samples=settings.samples))
  return recipe.experiment(
    settings,
    title='RLOO on your prompts',
    data=data,
    stages=before | rloo.stages(learnt, **given),
  )
