"""The models that a recipe's settings give: each is there, and is one."""

import pathlib

from rlhf_jax.experiment import ExperimentError, Pretrained, PretrainedReward
from rlhf_jax.experiment.overrides import naming
from rlhf_jax.models import TransformerConfig, huggingface
from rlhf_jax.storage import seals


def model(folder: str) -> TransformerConfig:
  """The config of the model in a folder of transformers.

  Raises:
    OverrideError: there is none, or it is damaged or of a kind not known here.
  """
  with naming('model', folder):
    if not huggingface.is_folder(folder):
      raise ExperimentError(
        'that is no folder with the config.json of a model; make one by '
        'python -m launch.import_weights'
      )
    return huggingface.config_of(folder)


def reward(folder: str) -> Pretrained:
  """The reward model in a folder of transformers, or of a finished stage.

  Raises:
    OverrideError: there is none.
  """
  with naming('reward', folder):
    if huggingface.is_folder(folder):
      PretrainedReward(folder).check()
    elif not seals.sealed(pathlib.Path(folder)):
      raise ExperimentError(
        'that is neither a folder with the config.json of a reward model nor '
        'the import path of a function, as my_reward.score is'
      )
  return Pretrained(folder)
