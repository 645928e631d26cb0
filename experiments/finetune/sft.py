"""SFT: a model learns to answer as your examples do.

Run: python -m launch.train experiments/finetune/sft.py
  --set model=models/smollm2 --set data=answers.jsonl
A line of answers.jsonl is {"prompt": "…", "completion": "…"}, or any other
format of `rlhf_jax.data.formats`; of pairs, the preferred answer is learnt.
"""

import dataclasses

from experiments.finetune import recipe
from rlhf_jax.data import formats
from rlhf_jax.experiment import Experiment, Pretrained
from rlhf_jax.methods import sft
from rlhf_jax.types.rules import Positive
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(recipe.Settings):
  """As of all recipes."""

  learning_rate: Positive = 2e-5


def config(settings: Settings) -> Experiment:
  start = Pretrained(settings.model) if settings.model else None
  return recipe.experiment(
    settings,
    title='SFT on your answers',
    data=recipe.source(settings, demonstrations=formats.demonstrations),
    stages=sft.stages(sft.Config(**settings.lengths()), start=start),
    demonstrations='test_demonstrations',
  )
