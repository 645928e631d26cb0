"""Heads on a real model's first layers: what they learn from, and samples."""

import dataclasses

from experiments.half_known.chain import TEMPERATURE, Stages
from rlhf_jax.experiment import Pretrained
from rlhf_jax.feedback.similarity import Similarity
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


def head_stages(settings: Settings, *pairs: str, name: str) -> Stages:
  """{name}: Bradley-Terry on people's pairs, and on others."""
  return reward_head.stages(
    reward_head.Config(trunk_layers=settings.trunk_layers),
    name=name,
    data=(PEOPLE, *pairs),
    start=Pretrained(settings.model),
  )


def inform_stages(settings: Settings, *, name: str) -> Stages:
  """{name}: InfoRM on people's pairs."""
  return inform_head.stages(
    inform_head.Config(trunk_layers=settings.trunk_layers),
    name=name,
    data=PEOPLE,
    start=Pretrained(settings.model),
  )


def sample_stages(settings: Settings, *, reward: str) -> Stages:
  """{'policy_samples'}: the model's of the sums, few prompts at a time.

  All of a batch wait for its longest.
  """
  config = samples.Config(
    samples=settings.samples,
    batch_size=4,
    sampling=Sampling(temperature=TEMPERATURE),
  )
  return samples.stages(
    config, data='problems', policy=Pretrained(settings.model), reward=reward
  )


def pair_stages(same: Similarity, *, name: str) -> Stages:
  """{name}: any sample of the largest group of samples that say the same."""
  return synthetic.stages(
    synthetic.Config(similarity=same, choose=consistency.any_member),
    reward='bradley_terry',
    name=name,
  )
