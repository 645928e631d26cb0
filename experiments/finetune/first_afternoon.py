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
"""

import dataclasses

from experiments import afternoon
from rlhf_jax.experiment import (
  Evaluation,
  Experiment,
  PolicyVariant,
  Pretrained,
)
from rlhf_jax.methods import reward_head
from rlhf_jax.types.rules import Count, Seed
from rlhf_jax.types.values import checked

REWARDS = ('review', 'helpful', 'harmless')
CLAIM = 'The best by a learnt reward reads as more positive than one sample'


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
  policy, stages = Pretrained(settings.model), {}
  for kind in REWARDS:
    head = reward_head.Config(trunk_layers=settings.trunk_layers)
    stages |= reward_head.stages(
      head, name=kind, data=f'{kind}_pairs', start=policy
    )
  return Experiment(
    title='A first afternoon with a real model',
    seed=settings.seed,
    data=afternoon.Source(settings.data, settings.model),
    model=afternoon.size(settings.model),
    limits=afternoon.LIMITS,
    stages=stages,
    variants={
      'one sample': PolicyVariant(policy=policy),
      'best of 8': PolicyVariant(policy=policy, best_of=8),
    },
    contrasts={CLAIM: ('best of 8', 'one sample')},
    evaluation=Evaluation(
      prompts='openings',
      comparisons={kind: f'test_{kind}_pairs' for kind in REWARDS},
      samples=1,
      batch_size=48,
      against='one sample',
      scored_by='review',
    ),
  )
