"""The policy's samples P that the reward model is trained again with.

Each sample's key is that of its prompt's place and its number, so that P does
not depend on how many prompts go at a time or on how many devices.

Source: Lang, Huang & Li 2024 (RLP), §3: ten samples to each prompt that the
policy was trained on, at temperature 1.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlhf_jax.generation.sampling import PerPrompt
from rlhf_jax.stages import DatasetMethod, DatasetStage, Stage
from rlhf_jax.types import Record, Sampled
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

Stages = Mapping[str, Stage | DatasetStage]


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config(PerPrompt):
  """The paper's n."""

  samples: Count = 10


def build(
  records: Sequence[Record], queries: Any, *, config: Config
) -> list[Sampled]:
  """A Sampled of each prompt, scored by the frozen reward if there is one."""
  del records  # Their prompts are what is answered.
  return queries.draw(samples=config.samples, sampling=config.sampling)


# A policy's samples, scored by the reward that it learnt from.
stages = DatasetMethod(
  name='policy_samples',
  data='prompts',
  build=build,
  builds=Sampled,
  policy='policy',
  frozen={'reward': 'reward'},
  sources={'policy': 'ppo'},
)


# The same of a policy that learnt from no reward.
unscored_stages = DatasetMethod(
  name='policy_samples',
  data='prompts',
  build=build,
  builds=Sampled,
  policy='policy',
)


def rounds(
  count: int,
  *,
  samples: Config,
  retrain: Callable[..., Stages],
  learn: Callable[..., Stages],
  earlier: int = 0,
  policy: str = 'ppo',
  reward: str = 'reward_model',
  data: str = 'prompts',
  name: str = 'rlp',
) -> dict[str, Stage | DatasetStage]:
  """{name}_1_samples, …, {name}_1_reward, {name}_1, {name}_2_samples, …

  Rounds of RLP's steps 3 to 5: sample, retrain the reward, then the policy.
  Whatever learns from a reward model can take PPO's place, since all that RLP
  needs of it is samples. Every round starts the policy from SFT anew.

  Args:
    count: of rounds.
    samples: how each round's policy is sampled.
    retrain: (samples=, policy=, reward=, name=) -> stages, the last of which,
      {name}, trains a reward model with these samples; they are of `policy`,
      which learnt from `reward`.
    learn: (reward=, name=) -> {name}: the stage that learns from it.
    earlier: rounds before these, which are counted on from.
    policy: what the first of these rounds samples.
    reward: what that policy learnt from.
    data: prompts that are sampled.
    name: what the rounds' names begin with.

  Source: Lang, Huang & Li 2024 (RLP), algorithm 1, which stops after one.
  """
  found: dict[str, Stage | DatasetStage] = {}
  for number in range(earlier + 1, earlier + count + 1):
    trained = f'{name}_{number}'
    drawn, retrained = f'{trained}_samples', f'{trained}_reward'
    found |= stages(
      samples, data=data, policy=policy, reward=reward, name=drawn
    )
    found |= retrain(
      samples=drawn, policy=policy, reward=reward, name=retrained
    )
    found |= learn(reward=retrained, name=trained)
    policy, reward = trained, retrained
  return found
