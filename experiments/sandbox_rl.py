"""Reinforcement learning in the sandbox: PPO, and what can take its place.

Each function makes the stage of one method, of 128 responses a round.
"""

import functools
from collections.abc import Callable
from typing import Any

from experiments.sandbox_chain import Settings, Stages
from rlhf_jax import sandbox
from rlhf_jax.kernels import rewards
from rlhf_jax.methods import dapo, grpo, ppo, reinforce, remax, rloo
from rlhf_jax.training.optimizers import Adam

# Rates of what takes PPO's place, and of PPO where it is compared with that: on
# average the best of 1e-4, 3e-4 and 1e-3 for those with one step a round, and
# for those with several. GRPO's KL coefficient: the best of 0.05 to 0.5. All by
# win rate on validation prompts with seed 100, which no claim uses.
ONE_STEP_RATE = 3e-4
SEVERAL_STEPS_RATE = 1e-4
GRPO_KL_COEF = 0.5

# As PPO goes over a round's responses; methods that clip do likewise.
PPO_PASSES = {'epochs': 2, 'minibatches': 2}


def ppo_stages(
  settings: Settings,
  *,
  kl_coef: float | None = None,
  learning_rate: float = 1e-3,
  start: str = 'sft',
  reward: str = 'reward_model',
  name: str = 'ppo',
) -> Stages:
  """{name}: 128 prompts a round, against a reward model."""
  return ppo.stages(
    ppo.Config(
      steps=settings.ppo_steps,
      batch_size=128,
      kl_coef=settings.kl_coef if kl_coef is None else kl_coef,
      optimizer=Adam(learning_rate=learning_rate),
      **PPO_PASSES,
    ),
    start=start,
    reward=reward,
    name=name,
  )


# The main job's PPO but for its rate: what other methods are compared with.
tuned_ppo_stages = functools.partial(
  ppo_stages, learning_rate=SEVERAL_STEPS_RATE
)


def rounds(
  settings: Settings, learning_rate: float, *, samples: int = 1, **values
) -> dict[str, Any]:
  """Config values that all methods share that take PPO's place: as many rounds
  of as many responses, and PPO's penalty for one without an end."""
  return {
    'steps': settings.ppo_steps,
    'batch_size': 128 // samples,
    'samples': samples,
    'unended_penalty': 1.0,
    'optimizer': Adam(learning_rate=learning_rate),
  } | values


def reinforce_stages(
  settings: Settings,
  *,
  kl_coef: float | None = None,
  learning_rate: float = ONE_STEP_RATE,
  reward: str = 'reward_model',
  name: str = 'reinforce',
) -> Stages:
  """{name}: 128 prompts a round, one step each, no baseline."""
  config = reinforce.Config(
    kl_coef=settings.kl_coef if kl_coef is None else kl_coef,
    **rounds(settings, learning_rate),
  )
  return reinforce.stages(config, reward=reward, name=name)


def reinforce_plus_plus_stages(
  settings: Settings,
  *,
  kl_coef: float | None = None,
  learning_rate: float = SEVERAL_STEPS_RATE,
  reward: str = 'reward_model',
  name: str = 'reinforce_plus_plus',
) -> Stages:
  """{name}: 128 prompts a round, with as many steps as PPO."""
  config = reinforce.reinforce_plus_plus(
    kl_coef=settings.kl_coef if kl_coef is None else kl_coef,
    **rounds(settings, learning_rate, **PPO_PASSES),
  )
  return reinforce.stages(config, reward=reward, name=name)


def remax_stages(
  settings: Settings,
  *,
  kl_coef: float | None = None,
  learning_rate: float = ONE_STEP_RATE,
  make: Callable[..., remax.Config] = remax.paper,
  reward: str = 'reward_model',
  name: str = 'remax',
) -> Stages:
  """{name}: 128 prompts a round, answered greedily too, one step each."""
  config = make(
    kl_coef=settings.kl_coef if kl_coef is None else kl_coef,
    **rounds(settings, learning_rate),
  )
  return remax.stages(config, reward=reward, name=name)


def rloo_stages(
  settings: Settings,
  *,
  kl_coef: float | None = None,
  learning_rate: float = ONE_STEP_RATE,
  reward: str = 'reward_model',
  name: str = 'rloo',
) -> Stages:
  """{name}: 4 responses to 32 prompts a round, one step each."""
  config = rloo.Config(
    kl_coef=settings.kl_coef if kl_coef is None else kl_coef,
    **rounds(settings, learning_rate, samples=4),
  )
  return rloo.stages(config, reward=reward, name=name)


def grpo_stages(
  settings: Settings,
  *,
  kl_coef: float = GRPO_KL_COEF,
  learning_rate: float = SEVERAL_STEPS_RATE,
  reward: str = 'reward_model',
  name: str = 'grpo',
) -> Stages:
  """{name}: 4 responses to 32 prompts a round; the KL is in the loss."""
  config = grpo.Config(
    reference_coef=kl_coef,
    **rounds(settings, learning_rate, samples=4, **PPO_PASSES),
  )
  return grpo.stages(config, reward=reward, name=name)


def dr_grpo_stages(
  settings: Settings,
  *,
  learning_rate: float = SEVERAL_STEPS_RATE,
  reward: str = 'reward_model',
  name: str = 'dr_grpo',
) -> Stages:
  """{name}: 4 responses to 32 prompts a round; no KL."""
  config = grpo.dr_grpo(
    **rounds(settings, learning_rate, samples=4, **PPO_PASSES)
  )
  return grpo.stages(config, reward=reward, name=name)


def gspo_stages(
  settings: Settings,
  *,
  learning_rate: float = SEVERAL_STEPS_RATE,
  reward: str = 'reward_model',
  name: str = 'gspo',
) -> Stages:
  """{name}: 4 responses to 32 prompts a round; no KL."""
  config = grpo.gspo(**rounds(settings, learning_rate, samples=4, **PPO_PASSES))
  return grpo.stages(config, reward=reward, name=name)


def dapo_stages(
  settings: Settings,
  *,
  learning_rate: float = SEVERAL_STEPS_RATE,
  reward: str = 'reward_model',
  name: str = 'dapo',
) -> Stages:
  """{name}: 4 responses to 32 prompts a round, of 96 that may be asked.

  No KL. The length penalty begins, as the paper's, at 4/5 of the longest.
  """
  longest = float(sandbox.MAX_RESPONSE_TOKENS)
  config = dapo.Config(
    groups=32,
    length_penalty=functools.partial(
      rewards.overlong_penalty,
      max_length=longest,
      buffer=longest / 5,
      factor=1.0,
    ),
    **rounds(settings, learning_rate, samples=4, batch_size=96, **PPO_PASSES),
  )
  return dapo.stages(config, reward=reward, name=name)
