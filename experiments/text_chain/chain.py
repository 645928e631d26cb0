"""An experiment on real text, and what is set of it most often."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from rlhf_jax.data.limits import keep_end
from rlhf_jax.experiment import (
  DatasetStage,
  Evaluation,
  Experiment,
  Limits,
  Stage,
  ordered,
)
from rlhf_jax.methods import sft
from rlhf_jax.models import presets
from rlhf_jax.training.optimizers import Adam, linear
from rlhf_jax.types.rules import Count, Seed
from rlhf_jax.types.values import checked

STEPS = tuple(range(32, 1024, 32))  # What batches are padded to, in tokens.


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings:
  """What is set most often.

  Attributes:
    data_dir: folder of the files.
    seed: of everything random.
    vocab_size: of the byte-level tokenizer trained on the text.
    sft_steps: updates of SFT, 32 demonstrations each.
    max_prompt_tokens, max_response_tokens: what is longer is cut, a prompt's
      beginning and a response's end, or left out where the experiment says so.
  """

  data_dir: str = '../shared/data'
  seed: Seed = 0
  vocab_size: Count = 2048
  sft_steps: Count = 120
  max_prompt_tokens: Count = 64
  max_response_tokens: Count = 48


def sft_stages(settings: Settings) -> dict[str, Stage]:
  """{'sft'}: 32 demonstrations a step."""
  return sft.stages(
    sft.Config(
      steps=settings.sft_steps,
      batch_size=32,
      optimizer=Adam(learning_rate=1e-3, decay=linear),
    )
  )


def experiment(
  settings: Settings,
  *,
  title: str,
  data: Any,
  stages: Mapping[str, Stage | DatasetStage],
  evaluation: Evaluation,
  contrasts: Mapping[str, tuple[str, str]] | None = None,
  **limits: Any,
) -> Experiment:
  """An experiment on real text.

  Args:
    settings: of the chain.
    title: a line for people.
    data: a source.
    stages: by name.
    evaluation: how policies are measured.
    contrasts: what is claimed, and of which two policies.
    limits: of `Limits`, beside those of the settings.
  """
  return Experiment(
    title=title,
    seed=settings.seed,
    data=data,
    model=presets.small_text(settings.vocab_size),
    limits=Limits(
      max_prompt_tokens=settings.max_prompt_tokens,
      max_response_tokens=settings.max_response_tokens,
      **{'overlong': keep_end, 'buckets': STEPS} | limits,
    ),
    stages=ordered(stages),
    evaluation=evaluation,
    contrasts=contrasts or {},
  )
