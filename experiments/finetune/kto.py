"""KTO: a model learns from answers that are each good or bad, on their own.

Run: python -m launch.train experiments/finetune/kto.py
  --set model=models/smollm2 --set data=pairs.jsonl
Pairs serve as they are: the chosen answer is good, the rejected one bad, and it
is measured how often the policy tells them apart. A line of labelled answers is
{"prompt": "…", "completion": "…", "label": true}; these have no pairs for that.

To expect of SmolLM2-135M and HH's helpful pairs, with steps=12 and
test_examples=64: the chosen answer has the higher log-ratio in 0.58 [0.46,
0.69] of 64 held-out pairs, loss 0.493 (0.5 before), where always the longer is
right on 0.53 [0.42, 0.64]: not told apart (seed 0, one setting tried). 20
minutes of training and 11 of measuring beside other work on two cores.
"""

import dataclasses

from experiments.finetune import recipe
from rlhf_jax.data import formats
from rlhf_jax.experiment import Experiment
from rlhf_jax.methods import kto
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings(recipe.Settings):
  """As of all recipes."""


def config(settings: Settings) -> Experiment:
  before, start = recipe.start(settings)
  return recipe.experiment(
    settings,
    title='KTO on your answers',
    data=recipe.source(settings, comparisons=formats.comparisons),
    stages=before | recipe.from_pairs(kto, settings, start),
    **recipe.pairs_held_out(settings),
  )
