"""Claim: PPO against a learnt reward beats SFT (Ouyang et al. 2022, fig. 1).

SFT, preferences, reward model, PPO, end to end in the sandbox. Holds if the
95 % interval of PPO's win rate over SFT lies above 0.5, judged by gold.
Run: python -m launch.train experiments/rlhf/sandbox.py --set seed=1
"""

import dataclasses

from rlhf_jax import sandbox
from rlhf_jax.experiment import Evaluation, Experiment, Limits
from rlhf_jax.methods import ppo, preferences, reward_model, sft
from rlhf_jax.models import presets
from rlhf_jax.training.optimizers import Adam, linear


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
  """What is set most often.

  Attributes:
    seed: of everything random but the world itself.
    sft_steps: updates of the SFT policy.
    pairs: annotated comparisons.
    ppo_steps: rounds of PPO.
    kl_coef: penalty per nat of KL to SFT.
  """

  seed: int = 0
  sft_steps: int = 800
  pairs: int = 4096
  ppo_steps: int = 40
  kl_coef: float = 0.05


def config(settings: Settings) -> Experiment:
  stages = sft.stages(
    sft.Config(
      steps=settings.sft_steps,
      batch_size=128,
      optimizer=Adam(learning_rate=3e-3, decay=linear),
    )
  )
  stages |= preferences.stages(
    preferences.Config(
      annotate=sandbox.Annotator().annotate, count=settings.pairs
    )
  )
  stages |= reward_model.stages(
    reward_model.Config(
      steps=2 * settings.pairs // 32,
      batch_size=32,
      centering=0.01,
      optimizer=Adam(learning_rate=2e-3, decay=linear),
    )
  )
  stages |= ppo.stages(
    ppo.Config(
      steps=settings.ppo_steps,
      batch_size=128,
      kl_coef=settings.kl_coef,
      epochs=2,
      minibatches=2,
      optimizer=Adam(learning_rate=1e-3),
    )
  )
  return Experiment(
    title='RLHF in the sandbox',
    seed=settings.seed,
    data=sandbox.World(),
    model=presets.sandbox(sandbox.tokenizer().vocab_size),
    limits=Limits(
      max_prompt_tokens=sandbox.max_prompt_tokens(),
      max_response_tokens=sandbox.MAX_RESPONSE_TOKENS,
    ),
    stages=stages,
    evaluation=Evaluation(samples=2),
  )
