"""Reward models in folders of their own, which score text as programs do."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rlhf_jax import sharding
from rlhf_jax.addressing import describe, digest
from rlhf_jax.data import chat_templates, tokens
from rlhf_jax.data.responses import conversation_ids
from rlhf_jax.experiment.definition import Experiment, ExperimentError
from rlhf_jax.models import huggingface, scalar_model
from rlhf_jax.stages import AnyStage, folder_of
from rlhf_jax.types import Prompt, Response

ROWS = 32  # Responses that are scored at a time.
COLUMNS = 64  # What they are padded to a multiple of.


class PretrainedReward:
  """A reward model in a folder of transformers, as a Reward.

  It reads text by its own tokenizer and chat template, so it may be of another
  architecture, size and vocabulary than the policy. What policies were
  conditioned on it does not see.

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
    """[N] scores of N responses, in the units of the model.

    Raises:
      ExperimentError: a conversation is longer than the model reads.
    """
    config, *_ = self._loaded
    rows = self._ids(prompts, responses)
    for prompt, ids in zip(prompts, rows, strict=True):
      if config.longest is not None and len(ids) > config.longest:
        raise ExperimentError(
          f'{prompt.place} and a response to it are {len(ids)} tokens, and '
          f'the reward model {self.folder} reads {config.longest}'
        )
    scores = np.zeros(len(rows), np.float32)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for first in range(0, len(order), ROWS):
      some = order[first : first + ROWS]
      scores[some] = self._scores([rows[i] for i in some])
    return scores

  @functools.cached_property
  def _loaded(self):
    """Its config, its scores as a function, its parameters and their mesh."""
    self.check()
    mesh = jax.sharding.get_mesh()  # Empty where none is set.
    mesh = sharding.make_mesh() if mesh.empty else mesh
    config, params = huggingface.read(self.folder, mesh)
    config = dataclasses.replace(config, compute_dtype=self._compute_dtype)
    return config, jax.jit(scalar_model(config).scores), params, mesh

  @functools.cached_property
  def _reader(self):
    """Its tokenizer, and its chat template."""
    tokenizer = tokens.load(self.folder)
    return tokenizer, chat_templates.of(tokenizer)

  def _ids(self, prompts, responses):
    """Ids of each prompt with its response, in the model's own vocabulary."""
    asked = [
      # Sampled ids are the policy's; here the text counts.
      (prompt._replace(condition=''), Response.of(said).without_ids)
      for prompt, said in zip(prompts, responses, strict=True)
    ]
    return conversation_ids(asked, *self._reader)

  def _scores(self, rows):
    """[N] scores of at most ROWS lists of ids."""
    columns = -(-max(map(len, rows)) // COLUMNS) * COLUMNS
    ids = np.zeros((ROWS, columns), np.int32)
    mask = np.zeros((ROWS, columns), bool)
    mask[:, 0] = True  # Rows that are not filled have a token too.
    for row, said in enumerate(rows):
      ids[row, : len(said)] = said
      mask[row, : len(said)] = True
    _, scores, params, mesh = self._loaded
    found = scores(params, *sharding.place_batch((ids, mask), mesh))
    return np.asarray(found)[: len(rows), 0]


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
