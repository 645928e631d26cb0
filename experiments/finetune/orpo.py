"""ORPO: a model imitates preferred answers and ranks pairs, in one loss.

Run: python -m launch.train experiments/finetune/orpo.py
  --set model=models/smollm2 --set data=pairs.jsonl
A line of pairs.jsonl is {"prompt": "…", "chosen": "…", "rejected": "…"}, or any
other format of `rlhf_jax.data.formats`. No reference model is kept.
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
