"""DPO: a model learns which of two answers people prefer.

Run: python -m launch.train experiments/finetune/dpo.py
  --set model=models/smollm2 --set data=pairs.jsonl
A line of pairs.jsonl is {"prompt": "…", "chosen": "…", "rejected": "…"}, or any
other format of `rlhf_jax.data.formats`. Any method that learns from pairs alone
may take DPO's place, by its module: --set method=rlhf_jax.methods.simpo

To expect of SmolLM2-135M and HH's helpful pairs: after 30 steps right on 0.61
[0.51, 0.70] of 100 held-out pairs, loss 0.656 nats (0.693 before), where always
the longer is right on 0.56 [0.47, 0.64]: not told apart (seed 0, one setting
tried). With lora.rank=16 and learning_rate=1e-4, likewise: 0.64 [0.54, 0.73],
loss 0.669, at 8.1 GB of memory instead of 10.2. Either took 28 minutes of
training and 15 of measuring beside other work on two cores.
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
