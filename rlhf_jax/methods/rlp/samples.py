"""The policy's samples P that the reward model is trained again with.

Each sample's key is that of its prompt's place and its number, so that P does
not depend on how many prompts go at a time or on how many devices.

Source: Lang, Huang & Li 2024 (RLP), §3: ten samples to each prompt that the
policy was trained on, at temperature 1.
"""

import dataclasses

from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.stages import Writer
from rlhf_jax.types import Sampled
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config:
  """The paper's values.

  Attributes:
    samples: n, responses to each prompt.
    count: prompts; None takes each of the data's once.
    batch_size: prompts at a time.
    sampling: of the responses.
  """

  samples: Count = 10
  count: Count | None = None
  batch_size: Count = 256
  sampling: Sampling = Sampling(temperature=1.0)


def write(records, queries, *, config):
  """A Sampled of each prompt, scored by the frozen reward."""
  del records  # Their prompts are what is answered.
  return queries.draw(samples=config.samples, sampling=config.sampling)


# A policy's samples, scored by the reward that it learnt from.
stages = Writer(
  name='policy_samples',
  data='prompts',
  write=write,
  writes=Sampled,
  policy='policy',
  frozen={'reward': 'reward'},
  sources={'policy': 'ppo'},
)
