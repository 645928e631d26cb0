"""GRPO and its kin in the sandbox: 4 responses to 32 prompts a round.

All but GRPO go without a KL.
"""

import functools
from typing import Any

from experiments.sandbox_chain.chain import Settings, Stages
from experiments.sandbox_chain.rl import (
  PPO_PASSES,
  SEVERAL_STEPS_RATE,
  rounds,
)
from rlhf_jax import sandbox
from rlhf_jax.kernels import rewards
from rlhf_jax.methods import dapo, grpo

# The best of 0.05 to 0.5, in the grid that the rates are from.
GRPO_KL_COEF = 0.5


def grouped(settings: Settings, learning_rate: float) -> dict[str, Any]:
  """Config values that all of them share."""
  return rounds(settings, learning_rate, samples=4) | PPO_PASSES


def grpo_stages(
  settings: Settings,
  *,
  learning_rate: float = SEVERAL_STEPS_RATE,
  **placed: Any,
) -> Stages:
  """{'grpo'}: the KL is in the loss."""
  values = grouped(settings, learning_rate)
  config = grpo.Config(reference_coef=GRPO_KL_COEF, **values)
  return grpo.stages(config, **placed)


def dr_grpo_stages(
  settings: Settings,
  *,
  learning_rate: float = SEVERAL_STEPS_RATE,
  name: str = 'dr_grpo',
  **placed: Any,
) -> Stages:
  """{'dr_grpo'}."""
  config = grpo.dr_grpo(**grouped(settings, learning_rate))
  return grpo.stages(config, name=name, **placed)


def gspo_stages(
  settings: Settings,
  *,
  learning_rate: float = SEVERAL_STEPS_RATE,
  name: str = 'gspo',
  **placed: Any,
) -> Stages:
  """{'gspo'}."""
  config = grpo.gspo(**grouped(settings, learning_rate))
  return grpo.stages(config, name=name, **placed)


def dapo_stages(
  settings: Settings,
  *,
  learning_rate: float = SEVERAL_STEPS_RATE,
  **placed: Any,
) -> Stages:
  """{'dapo'}: 32 prompts a round, of 96 that may be asked.

  The length penalty begins, as the paper's, at 4/5 of the longest.
  """
  longest = float(sandbox.MAX_RESPONSE_TOKENS)
  penalty = functools.partial(
    rewards.overlong_penalty,
    max_length=longest,
    buffer=longest / 5,
    factor=1.0,
  )
  values = grouped(settings, learning_rate) | {'batch_size': 96}
  config = dapo.Config(groups=32, length_penalty=penalty, **values)
  return dapo.stages(config, **placed)
