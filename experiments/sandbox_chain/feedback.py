"""What every chain begins with: SFT, preferences and a reward model."""

from typing import Any

from experiments.sandbox_chain.chain import Settings, Stages
from rlhf_jax import sandbox
from rlhf_jax.methods import preferences, reward_model, sft
from rlhf_jax.training.optimizers import Adam, linear


def sft_stages(settings: Settings) -> Stages:
  """{'sft'}: 128 demonstrations a step."""
  return sft.stages(
    sft.Config(
      steps=settings.sft_steps,
      batch_size=128,
      optimizer=Adam(learning_rate=3e-3, decay=linear),
    )
  )


def preference_stages(
  settings: Settings, *, count: int | None = None, **placed: Any
) -> Stages:
  """{'preferences'}: pairs of a policy's samples, compared."""
  config = preferences.Config(
    annotate=sandbox.Annotator().annotate, count=count or settings.pairs
  )
  return preferences.stages(config, **placed)


def reward_stages(
  settings: Settings,
  *,
  pairs: int | None = None,
  steps: int | None = None,
  learning_rate: float = 2e-3,
  **placed: Any,
) -> Stages:
  """{'reward_model'}: from SFT's trunk, twice over so many pairs, 32 a step.

  Or for so many `steps`.
  """
  config = reward_model.Config(
    steps=steps or 2 * (pairs or settings.pairs) // 32,
    batch_size=32,
    centering=0.01,
    optimizer=Adam(learning_rate=learning_rate, decay=linear),
  )
  return reward_model.stages(config, **placed)


def feedback_stages(settings: Settings) -> Stages:
  """{'sft', 'preferences', 'reward_model'}: SFT's samples, compared."""
  return (
    sft_stages(settings) | preference_stages(settings) | reward_stages(settings)
  )
