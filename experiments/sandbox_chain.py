"""What sandbox experiments share: SFT, preferences, reward model, PPO and on.

Stages are addressed by what they are made of, so experiments that take these
from here train them once.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from rlhf_jax import sandbox
from rlhf_jax.data.curriculum import Curriculum
from rlhf_jax.experiment import (
  Answering,
  DatasetStage,
  Evaluation,
  Experiment,
  Limits,
  Stage,
)
from rlhf_jax.losses import listwise, pairwise
from rlhf_jax.losses.objective import Objective
from rlhf_jax.methods import (
  candidates,
  dpo,
  preferences,
  pro,
  reward_model,
  rrhf,
  sft,
  slic,
)
from rlhf_jax.models import presets
from rlhf_jax.training.optimizers import Adam, Schedule, linear
from rlhf_jax.types.rules import Count, NonNegative, Seed
from rlhf_jax.types.values import checked

Stages = Mapping[str, Stage | DatasetStage]

# Learning rates and SLiC's anchor from a coarse grid on validation prompts with
# seed 100, which no claim uses: the highest win rate, and of two that cannot be
# told apart the one with less KL. PPO's values are those of rlhf/sandbox.py.
DPO_RATE = 3e-4
SLIC_RATE = 3e-4
RRHF_RATE = 1e-3
PRO_RATE = 1e-3
# Room for the longest condition; the same wherever policies are conditioned, so
# that these share an SFT policy.
CONDITION_TOKENS = 25
# Lengths that most prompts, with a condition or without, and most examples keep
# to: nearly half of what goes through the models would be padding.
BUCKETS = (10, 18, 26, 38, 48)

RRHF = functools.partial(listwise.rrhf, rank_coef=1.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings:
  """What is set most often.

  Attributes:
    seed: of everything random but the world itself.
    sft_steps: updates of the SFT policy.
    pairs: annotated comparisons.
    ppo_steps: rounds of PPO, or of what takes its place.
    kl_coef: penalty per nat of KL to SFT.
  """

  seed: Seed = 0
  sft_steps: Count = 800
  pairs: Count = 4096
  ppo_steps: Count = 40
  kl_coef: NonNegative = 0.05


def sft_stages(settings: Settings) -> Stages:
  """{'sft'}: 128 demonstrations a step."""
  return sft.stages(
    sft.Config(
      steps=settings.sft_steps,
      batch_size=128,
      optimizer=Adam(learning_rate=3e-3, decay=linear),
    )
  )


def feedback_stages(settings: Settings) -> Stages:
  """{'sft', 'preferences', 'reward_model'}: SFT's samples, compared."""
  return (
    sft_stages(settings) | preference_stages(settings) | reward_stages(settings)
  )


def preference_stages(
  settings: Settings,
  *,
  count: int | None = None,
  policy: str = 'sft',
  name: str = 'preferences',
) -> Stages:
  """{name}: pairs of a policy's samples, compared."""
  config = preferences.Config(
    annotate=sandbox.Annotator().annotate, count=count or settings.pairs
  )
  return preferences.stages(config, policy=policy, name=name)


def reward_stages(
  settings: Settings,
  *,
  data: str | tuple[str, ...] = 'preferences',
  pairs: int | None = None,
  name: str = 'reward_model',
) -> Stages:
  """{name}: from SFT's trunk, twice over so many pairs, 32 a step."""
  config = reward_model.Config(
    steps=2 * (pairs or settings.pairs) // 32,
    batch_size=32,
    centering=0.01,
    optimizer=Adam(learning_rate=2e-3, decay=linear),
  )
  return reward_model.stages(config, data=data, name=name)


def tuned(
  settings: Settings,
  learning_rate: float,
  *,
  batch_size: int = 64,
  decay: Schedule = linear,
) -> dict[str, Any]:
  """Config values that all methods on pairs or lists share: as many steps as
  go twice over the preferences."""
  return {
    'steps': 2 * settings.pairs // 64,
    'batch_size': batch_size,
    'optimizer': Adam(learning_rate=learning_rate, decay=decay),
  }


def dpo_stages(
  settings: Settings,
  *,
  beta: float = 0.1,
  learning_rate: float = DPO_RATE,
  data: str = 'preferences',
  start: str = 'sft',
  curriculum: Curriculum | None = None,
  decay: Schedule = linear,
  name: str = 'dpo',
) -> Stages:
  """{name}: from SFT, on pairs."""
  return dpo.stages(
    dpo.Config(
      objective=functools.partial(pairwise.dpo, beta=beta),
      **tuned(settings, learning_rate, decay=decay),
    ),
    data=data,
    start=start,
    curriculum=curriculum,
    name=name,
  )


def slic_stages(
  settings: Settings,
  *,
  likelihood_coef: float = 1.0,
  data: str = 'preferences',
  name: str = 'slic',
) -> Stages:
  """{name}: from SFT, on pairs."""
  config = slic.Config(
    objective=functools.partial(
      pairwise.slic, margin=1.0, likelihood_coef=likelihood_coef
    ),
    **tuned(settings, SLIC_RATE),
  )
  return slic.stages(config, data=data, name=name)


def candidate_stages(
  settings: Settings,
  *,
  samples: int = 4,
  data: str = 'prompts',
  policy: str | None = 'sft',
  name: str = 'candidates',
) -> Stages:
  """{name}: a policy's samples, or the data's own responses, ranked."""
  del settings
  config = candidates.Config(samples=samples)
  return candidates.stages(config, data=data, policy=policy, name=name)


def rrhf_stages(
  settings: Settings,
  *,
  objective: Objective = RRHF,
  data: str = 'candidates',
  name: str = 'rrhf',
) -> Stages:
  """{name}: from SFT, on ranked candidates, 32 prompts a step."""
  config = rrhf.Config(
    objective=objective, **tuned(settings, RRHF_RATE, batch_size=32)
  )
  return rrhf.stages(config, data=data, name=name)


def pro_stages(
  settings: Settings,
  *,
  data: str = 'candidates',
  name: str = 'pro',
) -> Stages:
  """{name}: from SFT, on ranked candidates, 32 prompts a step."""
  config = pro.Config(**tuned(settings, PRO_RATE, batch_size=32))
  return pro.stages(config, data=data, name=name)


def experiment(
  settings: Settings,
  *,
  title: str,
  stages: Stages,
  contrasts: Mapping[str, tuple[str, str]] | None = None,
  answering: Mapping[str, Answering] | None = None,
  condition_tokens: int = 0,
  scored_by: str | None = None,
) -> Experiment:
  """An experiment in the sandbox; the world is the same for every seed.

  Args:
    settings: of the chain.
    title: a line for people.
    stages: by name.
    contrasts: what is claimed, and of which two policies.
    answering: ways of answering beside the policies as they are.
    condition_tokens: of the longest condition, where policies are conditioned
      on something: the vocabulary then has the words for it.
    scored_by: the reward model whose scores are reported, where policies learnt
      from several.
  """
  words = sandbox.CONDITION_WORDS if condition_tokens else ()
  return Experiment(
    title=title,
    seed=settings.seed,
    data=sandbox.World(comparisons=settings.pairs, words=words),
    model=presets.sandbox(sandbox.tokenizer(words).vocab_size),
    limits=Limits(
      max_prompt_tokens=sandbox.max_prompt_tokens() + condition_tokens,
      max_response_tokens=sandbox.MAX_RESPONSE_TOKENS,
      buckets=BUCKETS if condition_tokens else (),
    ),
    stages=stages,
    evaluation=Evaluation(samples=2, scored_by=scored_by),
    contrasts=contrasts or {},
    answering=answering or {},
  )
