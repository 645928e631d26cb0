"""Rounds of RLP's steps 3 to 5: sample, retrain the reward, then the policy.

Whatever learns from a reward model can take PPO's place, since all that RLP
needs of it is samples. Every round starts the policy from SFT anew.

Source: Lang, Huang & Li 2024 (RLP), algorithm 1, which stops after one.
"""

from collections.abc import Callable, Mapping

from rlhf_jax.methods.rlp import samples as policy_samples
from rlhf_jax.stages import DatasetStage, Stage

Stages = Mapping[str, Stage | DatasetStage]


def rounds(
  count: int,
  *,
  samples: policy_samples.Config,
  retrain: Callable[..., Stages],
  learn: Callable[..., Stages],
  earlier: int = 0,
  policy: str = 'ppo',
  reward: str = 'reward_model',
  data: str = 'prompts',
  name: str = 'rlp',
) -> dict[str, Stage | DatasetStage]:
  """{name}_1_samples, …, {name}_1_reward, {name}_1, {name}_2_samples, …

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
  """
  found: dict[str, Stage | DatasetStage] = {}
  for number in range(earlier + 1, earlier + count + 1):
    trained = f'{name}_{number}'
    drawn, retrained = f'{trained}_samples', f'{trained}_reward'
    found |= policy_samples.stages(
      samples, data=data, policy=policy, reward=reward, name=drawn
    )
    found |= retrain(
      samples=drawn, policy=policy, reward=reward, name=retrained
    )
    found |= learn(reward=retrained, name=trained)
    policy, reward = trained, retrained
  return found
