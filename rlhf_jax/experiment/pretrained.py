"""Reward models in folders of their own, which score text as programs do."""

import dataclasses
import functools
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rlhf_jax import processes, sharding
from rlhf_jax.addressing import describe, digest
from rlhf_jax.data import chat_templates, tokens
from rlhf_jax.data.sources import Corpus
from rlhf_jax.experiment.datasets import WHOLE, TextData
from rlhf_jax.experiment.definition import Experiment, ExperimentError
from rlhf_jax.experiment.text_reading import TextReward
from rlhf_jax.feedback import scoring
from rlhf_jax.models import huggingface, scalar_model
from rlhf_jax.stages import AnyStage, folder_of
from rlhf_jax.types import Prompt

ROWS = 32  # Responses that are scored at a time.


class PretrainedReward:
  """A reward model in a folder of transformers, as a Reward.

  It is the TextReward of the folder, read when it is first asked, and needs no
  experiment. It reads text by its own tokenizer and chat template, so it may be
  of another architecture, size and vocabulary than the policy.

  Attributes:
    folder: its path, as it was given.
    name: of the folder, as reports have it.
  """

  def __init__(
    self, folder: str | pathlib.Path, *, compute_dtype: str = 'float32'
  ):
    """Of `folder`, of which nothing is read before it is checked or asked.

    Args:
      folder: with config.json, safetensors and a tokenizer.
      compute_dtype: of its activations, 'float32' or 'bfloat16'.
    """
    self.folder, self._compute_dtype = str(folder), compute_dtype
    self.name = pathlib.Path(folder).resolve().name

  def check(self) -> None:
    """Looks at the folder before anything is read of it.

    Raises:
      CheckpointError: it is not whole.
      ExperimentError: it holds no reward model.
      VocabularyError: it has no tokenizer.
    """
    scores = huggingface.open_folder(self.folder).scores
    if scores is None:
      raise ExperimentError(
        f'{self.folder} holds a language model, which gives no reward; a '
        'reward model has a tensor score.weight'
      )
    if scores != 1:
      raise ExperimentError(
        f'{self.folder} gives {scores} scores a response; a reward model '
        'gives one'
      )
    tokens.files(self.folder)

  def fingerprint(self) -> str:
    """Changes when the folder's content does."""
    contents = [path.read_text() for path in tokens.files(self.folder)]
    model = huggingface.fingerprint(self.folder)
    return digest(model, contents, self._compute_dtype)

  def forget(self) -> None:
    """Drops its parameters, which are read again when it is asked again."""
    self.__dict__.pop('_loaded', None)

  def __call__(
    self, prompts: Sequence[Prompt], responses: Sequence[str]
  ) -> np.ndarray:
    """[N] scores of N responses; see TextReward.

    Raises:
      CheckpointError, ExperimentError, VocabularyError: as of `check`.
      ExperimentError: a conversation is longer than the model reads.
    """
    return self._loaded(prompts, responses)

  @functools.cached_property
  def _loaded(self) -> TextReward:
    """Its parameters, and what reads text for them."""
    self.check()
    mesh = jax.sharding.get_mesh()  # Empty where none is set.
    if mesh.empty:
      mesh = sharding.make_mesh(devices=processes.devices())
    config, params = huggingface.read(self.folder, mesh)
    config = dataclasses.replace(config, compute_dtype=self._compute_dtype)
    tokenizer = tokens.load(self.folder)
    data = TextData(
      corpus=Corpus(tokenizer, chat_templates.of(tokenizer), {}),
      written={},
      limits=WHOLE,
      mesh=mesh,
      max_rows=ROWS,
      console=sys.stderr,
    )
    scorer = scoring.model_scorer(scalar_model(config))
    score = functools.partial(scorer, {'reward': params})
    return TextReward(self.name, data, score, config.longest)


def described(stage: AnyStage) -> dict[str, Any]:
  """A stage in words, for people: of a reward's folder its path, too.

  No address has it, so that a folder may move.
  """
  said, reward = describe(stage), stage.frozen.get('reward')
  if isinstance(reward, PretrainedReward):
    said['frozen']['reward']['folder'] = reward.folder
  return said


def with_text_rewards(experiment: Experiment) -> Experiment:
  """An experiment whose pretrained reward models score text."""
  found: dict[str, PretrainedReward] = {}

  def scoring(stage):
    reward = stage.frozen.get('reward')
    folder = folder_of(reward)
    if folder is None:
      return stage
    if not huggingface.is_folder(folder):  # A finished stage's parameters.
      return stage._replace(frozen={**stage.frozen, 'reward': folder})
    reward = found.setdefault(
      folder,
      PretrainedReward(folder, compute_dtype=experiment.model.compute_dtype),
    )
    frozen: Mapping = {**stage.frozen, 'reward': reward}
    return stage._replace(frozen=frozen)

  stages = {name: scoring(stage) for name, stage in experiment.stages.items()}
  return dataclasses.replace(experiment, stages=stages)
