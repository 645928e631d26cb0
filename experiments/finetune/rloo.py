"""RLOO: a model learns from its answers, each held against the others.

Run: python -m launch.train experiments/finetune/rloo.py
  --set model=models/smollm2 --set data=prompts.jsonl
  --set reward=my_reward.score
A line of prompts.jsonl is {"prompt": "…"}, or any other format of
`rlhf_jax.data.formats`. my_reward.py has `def score(prompts, responses)`, which
returns a number for each response; a folder of a reward model does as well.

To expect of SmolLM2-135M on Dolly's prompts, with steps=8, where the reward is
how near an answer is to twenty words, -|words - 20| / 20: answers to 24
held-out prompts go from -0.61 ± 0.07 to -0.56 ± 0.07 at 0.8 nats, and win 0.54
[0.37, 0.70]: nothing that 24 prompts could tell (seed 0, one setting tried). 36
minutes of training beside other work on a core.
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
