"""ORPO: a model imitates preferred answers and ranks pairs, in one loss.

Run: python -m launch.train experiments/finetune/orpo.py
  --set model=models/smollm2 --set data=pairs.jsonl
A line of pairs.jsonl is {"prompt": "…", "chosen": "…", "rejected": "…"}, or any
other format of `rlhf_jax.data.formats`. No reference model is kept.

To expect of SmolLM2-135M and HH's helpful pairs, with steps=12 and
test_examples=64: the chosen answer has the higher log-prob in 0.44 [0.32, 0.56]
of 64 held-out pairs, where always the longer is right on 0.53 [0.42, 0.64]: 12
steps of 8 pairs teach nothing that shows (seed 0, one setting tried). 26
minutes of training and 11 of measuring beside other work on a core.
"""

import dataclasses

from experiments.finetune import recipe
from rlhf_jax.data import formats
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods import orpo
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(recipe.Settings):
  """As of all recipes."""


def config(settings: Settings) -> Experiment:
  before, start = recipe.start(settings)
  return recipe.experiment(
    settings,
    title='ORPO on your pairs',
    data=recipe.source(settings, comparisons=formats.comparisons),
    stages=before | recipe.from_pairs(orpo, settings, start),
    comparisons='test_comparisons',
  )
