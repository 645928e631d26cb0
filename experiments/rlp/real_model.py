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

import functools

from experiments import half_known
from experiments.half_known import rewards
from rlhf_jax.experiment import Experiment
from rlhf_jax.feedback import similarity

Settings = rewards.Settings


def config(settings: Settings) -> Experiment:
  says_the_same = {
    'number': functools.partial(
      similarity.answer, extract=similarity.final_number
    ),
    'embedding': functools.partial(
      similarity.embedding, threshold=settings.near
    ),
  }
  stages = (
    rewards.head_stages(settings, name='bradley_terry')
    | rewards.inform_stages(settings, name='inform')
    | rewards.sample_stages(settings, reward='bradley_terry')
  )
  for name, same in says_the_same.items():
    made = rewards.pair_stages(same, name=f'{name}_pairs')
    stages |= made
    stages |= rewards.head_stages(settings, *made, name=f'spg_by_{name}')
  return half_known.experiment(
    stages, data=settings.data, model=settings.model, seed=settings.seed
  )
