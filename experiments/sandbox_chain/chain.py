"""An experiment in the sandbox, and what is set of it most often."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rlhf_jax import sandbox
from rlhf_jax.experiment import (
  DatasetStage,
  Evaluation,
  Experiment,
  Limits,
  PolicyVariant,
  Stage,
)
from rlhf_jax.models import presets
from rlhf_jax.types.rules import Count, NonNegative, Seed
from rlhf_jax.types.values import checked

Stages = Mapping[str, Stage | DatasetStage]


class Addition(NamedTuple):
  """What prompts have in some chains beside what is asked.

  Attributes:
    words: of the vocabulary, beside the world's own.
    tokens: room for the longest; the same wherever it is, so that chains share
      an SFT policy.
    buckets: lengths that most prompts, with it or without, and most examples
      keep to: nearly half of what goes through the models would be padding.
  """

  words: tuple[str, ...] = ()
  tokens: int = 0
  buckets: tuple[int, ...] = ()


NOTHING = Addition()
CONDITIONS = Addition(sandbox.CONDITION_WORDS, 25, (10, 18, 26, 38, 48))
ANSWERS = Addition(
  sandbox.VERDICT_WORDS, sandbox.MAX_RESPONSE_TOKENS, (10, 18, 26, 34)
)


def held_out(**values: Any) -> Evaluation:
  """The measure of claims: two responses to each test prompt."""
  return Evaluation(samples=2, comparisons='test_comparisons', **values)


def half_held_out(**values: Any) -> Evaluation:
  """As `held_out`, on half of its prompts and pairs."""
  return held_out(count=296, held_out=296, **values)


def validation(**values: Any) -> Evaluation:
  """The measure that settings are chosen by, of prompts that no claim is on.

  Likewise no claim is of the seed that goes with it, 100.
  """
  return Evaluation(samples=2, prompts='validation_prompts', **values)


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings:
  """What is set most often.

  Attributes:
    seed: of everything random but the world itself.
    world: seed of the world: its split, its authors, its annotators.
    sft_steps: updates of the SFT policy.
    pairs: annotated comparisons.
    ppo_steps: rounds of PPO, or of what takes its place.
    kl_coef: penalty per nat of KL to SFT.
    measure: `held_out`, `half_held_out` or, to choose other settings by,
      `validation`.
  """

  seed: Seed = 0
  world: Seed = 0
  sft_steps: Count = 800
  pairs: Count = 4096
  ppo_steps: Count = 40
  kl_coef: NonNegative = 0.05
  measure: Callable[..., Evaluation] = held_out


def experiment(
  settings: Settings,
  *,
  title: str,
  stages: Stages,
  contrasts: Mapping[str, tuple[str, str]] | None = None,
  variants: Mapping[str, PolicyVariant] | None = None,
  addition: Addition = NOTHING,
  scored_by: str | None = None,
  measures: Mapping[str, Any] | None = None,
  background: str = '',
) -> Experiment:
  """An experiment in the sandbox; its world does not depend on the seed.

  Args:
    settings: of the chain.
    title: a line for people.
    stages: by name.
    contrasts: what is claimed, and of which two policies.
    variants: of the policies, measured beside them as they are.
    addition: `CONDITIONS` where policies are conditioned on something,
      `ANSWERS` where what was said is a prompt too.
    scored_by: the reward model whose scores are reported, where policies learnt
      from several.
    measures: further values of the evaluation, as of `reward_measures`.
    background: as of an Experiment.
  """
  return Experiment(
    title=title,
    background=background,
    seed=settings.seed,
    data=sandbox.World(
      seed=settings.world, comparisons=settings.pairs, words=addition.words
    ),
    model=presets.sandbox(sandbox.tokenizer(addition.words).vocab_size),
    limits=Limits(
      max_prompt_tokens=sandbox.max_prompt_tokens() + addition.tokens,
      max_response_tokens=sandbox.MAX_RESPONSE_TOKENS,
      buckets=addition.buckets,
    ),
    stages=stages,
    evaluation=settings.measure(scored_by=scored_by, **(measures or {})),
    contrasts=contrasts or {},
    variants=variants or {},
  )
