"""What a real model of 135 M parameters tells apart, on two cores of a laptop.

Run: python -m launch.import_weights smollm2 models/smollm2
     python -m launch.train experiments/finetune/first_afternoon.py
       --set data=DIR
Without its files it says which it wants. The first half of the model reads
pairs of answers, once. A linear head learns of what it read which one people
prefer: for what is helpful and for what is harmless, each by itself, since they
contradict each other. A third one learns which of two film reviews is positive,
and by it the best of eight ways to go on with a review is taken. Who judges
that has counted words of other reviews.
Seed 0, on two cores, 418 s with everything (and 21 s to fetch and convert the
model): right on 0.87 [0.84, 0.90] of held-out reviews (always the longer 0.55),
0.69 [0.63, 0.75] of helpful answers (0.62) and 0.64 [0.57, 0.70] of harmless
ones (0.46); beyond the longer by 0.32, 0.08 [0.01, 0.15], 0.18 [0.08, 0.28]. Of
32 openings the best of eight wins 0.75 [0.58, 0.87], with other draws of the
same heads 0.59 [0.42, 0.74]; before, with longer texts, 0.56 [0.42, 0.69].
"""

import dataclasses

from experiments import afternoon
from rlhf_jax.experiment import Experiment, Pretrained
from rlhf_jax.methods import reward_head
from rlhf_jax.types.rules import Count, Seed
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings:
  """What is set most often.

  Attributes:
    data: folder of the files.
    model: folder of a language model of transformers.
    seed: of everything random.
    trunk_layers: of the model, that rewards are read from.
  """

  data: str = 'data'
  model: str = 'models/smollm2'
  seed: Seed = 0
  trunk_layers: Count = 15


def config(settings: Settings) -> Experiment:
  learnt = reward_head.Config(trunk_layers=settings.trunk_layers)
  stages = {}
  for kind in afternoon.KINDS:
    stages |= reward_head.stages(
      learnt,
      name=kind,
      data=f'{kind}_pairs',
      start=Pretrained(settings.model),
    )
  return afternoon.experiment(
    stages, data=settings.data, model=settings.model, seed=settings.seed
  )
