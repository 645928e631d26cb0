"""Claim: on a real model, too, agreement tells a reward what is right.

Of SmolLM2-135M's first layers, which stay as they are, four heads learn: from
people's pairs of helpful answers (HH) by Bradley-Terry and by InfoRM, and from
these beside synthetic pairs of the model's samples of sums that it half knows,
where what most samples say is preferred (RLP-SPG), saying the same being to
have the same last number, or embeddings of these layers that are near. Judged
on held-out pairs of people, and on a right and a wrong sample of held-out sums.
Holds if on the latter the interval of RLP-SPG by the last number lies above
Bradley-Terry's, and on the former no lower than 0.05 below.
Run: python -m launch.import_weights smollm2 models/smollm2
     python -m launch.train experiments/rlp/real_model.py --set data=DIR
"""

import dataclasses
import functools

from experiments import half_known
from rlhf_jax.experiment import Experiment, Pretrained
from rlhf_jax.feedback import similarity
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.methods import inform_head, reward_head
from rlhf_jax.methods.rlp import consistency, samples, synthetic
from rlhf_jax.types.rules import Count, Finite, Seed
from rlhf_jax.types.values import checked

PEOPLE = 'helpful_pairs'


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings:
  """What is set most often.

  Attributes:
    data: folder of the dialogues.
    model: folder of a language model of transformers.
    seed: of everything random.
    trunk_layers: of the model, that rewards are read from.
    samples: to each sum.
    near: the least cosine of embeddings that say the same.
  """

  data: str = 'data'
  model: str = 'models/smollm2'
  seed: Seed = 0
  trunk_layers: Count = 15
  samples: Count = 10
  near: Finite = 0.98


def config(settings: Settings) -> Experiment:
  model = Pretrained(settings.model)
  head = functools.partial(
    reward_head.stages,
    reward_head.Config(trunk_layers=settings.trunk_layers),
    start=model,
  )
  says_the_same = {
    'number': functools.partial(
      similarity.answer, extract=similarity.final_number
    ),
    'embedding': functools.partial(
      similarity.embedding, threshold=settings.near
    ),
  }
  stages = (
    head(name='bradley_terry', data=PEOPLE)
    | inform_head.stages(
      inform_head.Config(trunk_layers=settings.trunk_layers),
      name='inform',
      data=PEOPLE,
      start=model,
    )
    | samples.stages(
      # Few at a time, since all wait for the longest.
      samples.Config(
        samples=settings.samples,
        batch_size=4,
        sampling=Sampling(temperature=half_known.TEMPERATURE),
      ),
      data='problems',
      policy=model,
      reward='bradley_terry',
    )
  )
  for name, same in says_the_same.items():
    made = synthetic.stages(
      synthetic.Config(similarity=same, choose=consistency.any_member),
      reward='bradley_terry',
      name=f'{name}_pairs',
    )
    stages |= made | head(name=f'spg_by_{name}', data=(PEOPLE, *made))
  return half_known.experiment(
    stages, data=settings.data, model=settings.model, seed=settings.seed
  )
