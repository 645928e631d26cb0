"""DPO: a model learns which of two answers people prefer.

Run: python -m launch.train experiments/finetune/dpo.py
  --set model=models/smollm2 --set data=pairs.jsonl
A line of pairs.jsonl is {"prompt": "…", "chosen": "…", "rejected": "…"}, or any
other format of `rlhf_jax.data.formats`. Any method that learns from pairs alone
may take DPO's place, by its module: --set method=rlhf_jax.methods.simpo

To expect of SmolLM2-135M on two idle cores: about five minutes of training, 30
steps at 274 tokens a second. What it learns is not measured yet.
"""

import dataclasses

from experiments.finetune import given, recipe
from rlhf_jax.data import formats
from rlhf_jax.experiment import Experiment
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(recipe.Settings):
  """As of all recipes, and:

  Attributes:
    method: what learns from the pairs, a module of rlhf_jax.methods.
  """

  method: str = 'rlhf_jax.methods.dpo'


def config(settings: Settings) -> Experiment:
  before, start = recipe.start(settings)
  method = given.pair_method(settings.method)
  return recipe.experiment(
    settings,
    title=f'{method.stages.name.upper()} on your pairs',
    data=recipe.source(settings, comparisons=formats.comparisons),
    stages=before | recipe.from_pairs(method, settings, start),
    comparisons='test_comparisons',
  )
