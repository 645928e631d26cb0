"""A reward model in minutes: your model stays as it is, and a head is learnt.

Run: python -m launch.train experiments/finetune/reward_head.py
  --set model=models/smollm2 --set data=pairs.jsonl --set trunk_layers=15
A line of pairs.jsonl is {"prompt": "…", "chosen": "…", "rejected": "…"}, or any
other format of `rlhf_jax.data.formats`. The first layers read every pair once,
and what they read is kept: a head is then learnt in seconds. The report has how
often it is right on held-out pairs. Kinds of pairs that contradict each other,
as what is helpful and what is harmless, want a head each.
"""

import dataclasses

from experiments.finetune import recipe
from rlhf_jax.data import formats
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods import reward_head
from rlhf_jax.types.rules import Count, Positive
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(recipe.Settings):
  """As of all recipes, and:

  Attributes:
    trunk_layers: of the model, from the first on, that are read; all where
      None. The middle is often where most can be told apart.
  """

  trunk_layers: Count | None = None
  steps: Count = 300
  batch_size: Count = 64
  learning_rate: Positive = 3e-3
  test_examples: Count = 200


def config(settings: Settings) -> Experiment:
  before, start = recipe.start(settings)
  learnt = reward_head.Config(
    **settings.lengths(trunk_layers=settings.trunk_layers)
  )
  return recipe.experiment(
    settings,
    title='A head that learns your pairs',
    data=recipe.source(settings, comparisons=formats.comparisons),
    stages=before | reward_head.stages(learnt, data='comparisons', start=start),
    comparisons='test_comparisons',
  )
