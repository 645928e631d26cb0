"""What the recipes share: a model in a folder, your data, and the measure.

A recipe begins from the model as it is, or, where none is given, from SFT on
the best answers of the data, of a small model drawn anew. What it begins from
answers the held-out prompts too, beside what was trained.
"""

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from experiments.finetune import given
from rlhf_jax.data import formats
from rlhf_jax.data.files import Dataset, columns_of
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.limits import keep_end
from rlhf_jax.data.mixtures import Mixture
from rlhf_jax.data.sources import Feedback
from rlhf_jax.experiment import (
  DatasetStage,
  Evaluation,
  Experiment,
  Limits,
  PolicyVariant,
  Pretrained,
  Stage,
  ordered,
)
from rlhf_jax.experiment.overrides import naming
from rlhf_jax.methods import ppo, reward_model, sft
from rlhf_jax.models import LoRA, presets
from rlhf_jax.training.optimizers import Adam, linear
from rlhf_jax.types import Reward
from rlhf_jax.types.rules import Count, Positive, Seed
from rlhf_jax.types.values import checked

Stages = Mapping[str, Stage | DatasetStage]
Reader = Callable[..., Dataset]
VOCABULARY = 2048  # Of a model that is drawn anew.
MIXED = ('comparisons', 'demonstrations', 'prompts')  # Several data are these.
STEPS = tuple(range(64, 4096, 64))  # What batches are padded to, in tokens.


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Settings:
  """What is set most often.

  Attributes:
    model: folder of a model of transformers to begin from, tokenizer and all;
      '' for a small one drawn anew, which SFT on the data begins with.
    data: a file, a folder of files, or a pattern of them as in 'data/hh_*', of
      any format of `rlhf_jax.data.formats`; or a dataset that launch.prepare
      has prepared, by its name or its folder. Or several, commas between them.
    shares: in which proportion every batch has each of several `data`, as in
      0.7,0.3 or 7,3, of stages that learn from these alone; as much as there is
      of each where none are given.
    data_columns: what your files call the fields of their format, as in
      'prompt=question,chosen=good,rejected=bad'.
    examples: how many are read of each, from the beginning; all where None.
    seed: of everything random.
    steps: updates; rounds, where the policy samples.
    batch_size: examples of a step; prompts of a round.
    learning_rate: the highest; it falls in a line to 0.
    lora: adapters alone are trained of what is given, of the rank that is set
      as lora.rank=16; a learning rate ten times as high is usual. All
      parameters are trained where None.
    max_prompt_tokens, max_response_tokens: what is longer is cut, a prompt's
      beginning and a response's end.
    test_prompts: held-out prompts that are answered before and after.
    test_examples: held-out examples that are measured on.
    judge: your function of prompts and responses that says how good each is;
      who wins is decided by it.
  """

  model: str = ''
  data: str | tuple[str, ...] = 'data.jsonl'
  shares: tuple[Positive, ...] = ()
  data_columns: str = ''
  examples: Count | None = None
  seed: Seed = 0
  steps: Count = 30
  batch_size: Count = 8
  learning_rate: Positive = 1e-5
  lora: LoRA | None = None
  max_prompt_tokens: Count = 96
  max_response_tokens: Count = 64
  test_prompts: Count = 8
  test_examples: Count = 100
  judge: Reward | None = None

  def lengths(self, **values: Any) -> dict[str, Any]:
    """The values of a method's config that are settings, and others."""
    optimizer = Adam(learning_rate=self.learning_rate, decay=linear)
    return {
      'steps': self.steps,
      'batch_size': self.batch_size,
      'optimizer': optimizer,
    } | values


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class OnlineSettings(Settings):
  """As of all recipes, and:

  Attributes:
    reward: folder of a reward model of transformers, or your function of
      prompts and responses; without one, a reward model is trained first, on
      the pairs of the data.
    samples: responses to each prompt of a round.
  """

  reward: str | Reward | None = None
  steps: Count = 12
  samples: Count = 4
  learning_rate: Positive = 2e-5
  max_response_tokens: Count = 48
  test_prompts: Count = 24


def start(settings: Settings) -> tuple[dict[str, Stage], str | Pretrained]:
  """The stages before a recipe's own, and what its policy begins from."""
  if settings.model:
    return {}, Pretrained(settings.model)
  drawn_anew = sft.Config(
    steps=120,
    batch_size=32,
    optimizer=Adam(learning_rate=1e-3, decay=linear),
  )
  return sft.stages(drawn_anew), 'sft'


def source(settings: Settings, **readers: Reader) -> Feedback:
  """The data, read by a reader of `formats` for each of its datasets.

  With the model's tokenizer; a model drawn anew needs answers to imitate, too.
  """
  if not settings.model:
    readers = {'demonstrations': formats.demonstrations} | readers
  with naming('data_columns', settings.data_columns):
    columns_of(settings.data_columns)
  given.check_shares(settings.data, settings.shares)
  found = {
    name: given.files(
      settings.data,
      settings.data_columns,
      read=read,
      first=settings.examples,
    )
    for name, read in readers.items()
  }
  ((folder, _), *_) = found.values()
  return Feedback(
    folder,
    **{n: files if files[1:] else files[0] for n, (_, files) in found.items()},
    vocab_size=VOCABULARY,
    tokenizer=settings.model,
    gold=settings.judge,
  )


def pairs_held_out(settings: Settings) -> dict[str, str]:
  """{'comparisons': those held out}; {} of a file that labels single answers.

  A fault of the file is for whoever reads it to tell.
  """
  columns = columns_of(settings.data_columns)
  folder, several = given.files(settings.data, '', read=formats.comparisons)
  for files in several:
    with contextlib.suppress(DataError):
      if formats.labels(pathlib.Path(folder, files.names[0]), columns):
        return {}
  return {'comparisons': 'test_comparisons'}


def scored(
  settings: OnlineSettings,
) -> tuple[Feedback, dict[str, Stage], dict[str, Any]]:
  """The data, the stages before the policy's, and what it begins from.

  The last by the names that a method takes it by: its start and its reward.
  """
  before, begins = start(settings)
  reward: Any = settings.reward
  if reward is None:
    data = source(settings, comparisons=formats.comparisons)
    before |= reward_stages(begins)
    reward = 'reward_model'
  else:
    data = source(settings, prompts=formats.prompts)
  if isinstance(settings.reward, str):
    reward = given.reward(settings.reward)
  return data, before, {'start': begins, 'reward': reward}


def ppo_config(settings: Settings, **values: Any) -> ppo.Config:
  """One answer to a prompt; what the limit cuts costs nothing."""
  return ppo.Config(
    **settings.lengths(kl_coef=0.05, unended_penalty=0.0), **values
  )


def reward_stages(start: str | Pretrained, **placed: Any) -> dict[str, Stage]:
  """{'reward_model'}: from the pairs of the data, before a policy's stage."""
  config = reward_model.Config(
    steps=30,
    batch_size=8,
    centering=0.01,
    optimizer=Adam(learning_rate=2e-5, decay=linear),
  )
  return reward_model.stages(
    config, **{'data': 'comparisons', 'start': start} | placed
  )


def experiment(
  settings: Settings,
  title: str,
  data: Feedback,
  stages: Stages,
  **measured: str,
) -> Experiment:
  """A recipe's experiment; `measured` names held-out datasets of the data."""
  variants, model = {}, presets.small_text(VOCABULARY)
  if settings.model:
    model = given.model(settings.model)
    variants = {'start': PolicyVariant(policy=Pretrained(settings.model))}
  return Experiment(
    title=title,
    seed=settings.seed,
    data=data,
    model=model,
    limits=Limits(
      max_prompt_tokens=settings.max_prompt_tokens,
      max_response_tokens=settings.max_response_tokens,
      overlong=keep_end,
      buckets=STEPS,
    ),
    stages=ordered({n: _as_set(s, settings) for n, s in stages.items()}),
    variants=variants,
    evaluation=Evaluation(
      against='start' if settings.model else 'sft',
      count=settings.test_prompts,
      held_out=settings.test_examples,
      samples=1,
      batch_size=16,
      **measured,
    ),
  )


def _as_set(stage, settings):
  """A stage with what is set of all stages that train."""
  if isinstance(stage, DatasetStage):
    return stage
  # A step of a real model takes seconds, and a checkpoint of it gigabytes.
  stage = stage._replace(log_every=1, checkpoint_every=100)
  if settings.shares and stage.data in MIXED:
    parts = [f'{stage.data}_{k}' for k in range(1, len(settings.shares) + 1)]
    weights = dict(zip(parts, settings.shares, strict=True))
    mixture = Mixture(weights=weights, temperature=math.inf)
    stage = stage._replace(data=tuple(parts), mixture=mixture)
  # What is drawn anew, or whose features are kept, has nothing to adapt.
  adapts = stage.start and stage.features is None
  return stage._replace(lora=settings.lora) if adapts else stage


def from_pairs(
  method: ModuleType, settings: Settings, start: str | Pretrained
) -> dict[str, Stage]:
  """The stage of a method that learns a policy from the data's pairs."""
  stages = method.stages(
    method.Config(**settings.lengths()), data='comparisons', start=start
  )
  # A short run reads few of the pairs: the reference is asked of these alone.
  return {n: stage._replace(precompute=None) for n, stage in stages.items()}
