"""What a real model of 135 M parameters knows, in ten minutes on two cores.

Run: python -m launch.import_weights smollm2 models/smollm2
     python -m launch.train experiments/finetune/first_afternoon.py
       --set data=DIR
Without its files it says which it wants. The first half of the model reads
pairs of answers; a linear head learns from them which one people prefer, for
what is helpful and for what is harmless, each by itself: they contradict each
other. A third one learns which of two film reviews is positive, and the best of
eight is taken by it. Who judges that has counted words of other reviews.
"""

import dataclasses

from experiments import afternoon
from rlhf_jax.data.limits import keep_end
from rlhf_jax.experiment import (
  Evaluation,
  Experiment,
  Limits,
  PolicyVariant,
  Pretrained,
)
from rlhf_jax.methods import reward_head
from rlhf_jax.models import huggingface
from rlhf_jax.types.rules import Count, Seed
from rlhf_jax.types.values import checked

REWARDS = ('review', 'helpful', 'harmless')
CLAIM = 'The best of {} by a learnt reward reads as more positive than a sample'


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings:
  """What is set most often.

  Attributes:
    data: folder of the files.
    model: folder of a language model of transformers.
    seed: of everything random.
    trunk_layers: of the model, that rewards are read from.
    pairs, test_pairs: most pairs that each reward learns from, and that it is
      measured on.
    prompts: beginnings of reviews that the model goes on from.
    best_of: ways of going on, of which the reward takes one.
    max_response_tokens: of these.
  """

  data: str = 'data'
  model: str = 'models/smollm2'
  seed: Seed = 0
  trunk_layers: Count = 15
  pairs: Count = 600
  test_pairs: Count = 500
  prompts: Count = 96
  best_of: Count = 8
  max_response_tokens: Count = 48


def config(settings: Settings) -> Experiment:
  policy = Pretrained(settings.model)
  head = reward_head.Config(trunk_layers=settings.trunk_layers)
  rewards = [
    reward_head.stages(head, name=kind, data=f'{kind}_pairs', start=policy)
    for kind in REWARDS
  ]
  best = f'best of {settings.best_of}'
  return Experiment(
    title='A first afternoon with a real model',
    seed=settings.seed,
    data=afternoon.Source(
      settings.data,
      settings.model,
      pairs=settings.pairs,
      test_pairs=settings.test_pairs,
      prompts=settings.prompts,
    ),
    model=huggingface.config_of(settings.model),
    limits=Limits(
      max_prompt_tokens=64,
      max_response_tokens=settings.max_response_tokens,
      overlong=keep_end,
      buckets=(16, 32, 48, 64, 80, 96),
    ),
    stages={name: one for made in rewards for name, one in made.items()},
    variants={
      'one sample': PolicyVariant(policy=policy),
      best: PolicyVariant(policy=policy, best_of=settings.best_of),
    },
    contrasts={CLAIM.format(settings.best_of): (best, 'one sample')},
    evaluation=Evaluation(
      prompts='openings',
      comparisons={kind: f'test_{kind}_pairs' for kind in REWARDS},
      samples=1,
      batch_size=48,
      against='one sample',
      scored_by='review',
    ),
  )
