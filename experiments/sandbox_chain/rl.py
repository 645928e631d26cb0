"""Reinforcement learning in the sandbox: PPO, and what can take its place.

All have 128 responses a round; those of `rl_groups` can take its place too.
"""

import functools
from collections.abc import Callable
from typing import Any

from experiments.sandbox_chain.chain import Settings, Stages
from rlhf_jax.methods import ppo, reinforce, remax, rloo
from rlhf_jax.training.optimizers import Adam

# Rates of what takes PPO's place, and of PPO where it is compared with that: on
# average the best of 1e-4, 3e-4 and 1e-3 for those with one step a round, and
# for those with several. By win rate of the measure `validation` with seed 100.
ONE_STEP_RATE = 3e-4
SEVERAL_STEPS_RATE = 1e-4

# As PPO goes over a round's responses; methods that clip do likewise.
PPO_PASSES = {'epochs': 2, 'minibatches': 2}


def ppo_stages(
  settings: Settings,
  *,
  kl_coef: float | None = None,
  learning_rate: float = 1e-3,
  **placed: Any,
) -> Stages:
  """{'ppo'}: 128 prompts a round, against a reward model."""
  config = ppo.Config(
    steps=settings.ppo_steps,
    batch_size=128,
    kl_coef=settings.kl_coef if kl_coef is None else kl_coef,
    optimizer=Adam(learning_rate=learning_rate),
    **PPO_PASSES,
  )
  return ppo.stages(config, **placed)


# The main job's PPO but for its rate: what other methods are compared with.
tuned_ppo_stages = functools.partial(
  ppo_stages, learning_rate=SEVERAL_STEPS_RATE
)


def rounds(
  settings: Settings, learning_rate: float, *, samples: int = 1
) -> dict[str, Any]:
  """Config values that all methods share that take PPO's place: as many rounds
  of as many responses, and PPO's penalty for one without an end."""
  return {
    'steps': settings.ppo_steps,
    'batch_size': 128 // samples,
    'samples': samples,
    'unended_penalty': 1.0,
    'optimizer': Adam(learning_rate=learning_rate),
  }


def reinforce_stages(
  settings: Settings, *, learning_rate: float = ONE_STEP_RATE, **placed: Any
) -> Stages:
  """{'reinforce'}: 128 prompts a round, one step each, no baseline."""
  values = rounds(settings, learning_rate)
  config = reinforce.Config(kl_coef=settings.kl_coef, **values)
  return reinforce.stages(config, **placed)


def reinforce_plus_plus_stages(
  settings: Settings,
  *,
  learning_rate: float = SEVERAL_STEPS_RATE,
  name: str = 'reinforce_plus_plus',
  **placed: Any,
) -> Stages:
  """{'reinforce_plus_plus'}: 128 prompts a round, as many steps as PPO."""
  values = rounds(settings, learning_rate) | PPO_PASSES
  config = reinforce.reinforce_plus_plus(kl_coef=settings.kl_coef, **values)
  return reinforce.stages(config, name=name, **placed)


def remax_stages(
  settings: Settings,
  *,
  learning_rate: float = ONE_STEP_RATE,
  make: Callable[..., remax.Config] = remax.paper,
  **placed: Any,
) -> Stages:
  """{'remax'}: 128 prompts a round, answered greedily too, one step each."""
  values = rounds(settings, learning_rate)
  return remax.stages(make(kl_coef=settings.kl_coef, **values), **placed)


def rloo_stages(
  settings: Settings, *, learning_rate: float = ONE_STEP_RATE, **placed: Any
) -> Stages:
  """{'rloo'}: 4 responses to 32 prompts a round, one step each."""
  values = rounds(settings, learning_rate, samples=4)
  config = rloo.Config(kl_coef=settings.kl_coef, **values)
  return rloo.stages(config, **placed)
