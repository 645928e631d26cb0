"""What a recipe's settings name: a model, a reward, a method. Each is one."""

import importlib
import pathlib
from types import ModuleType

from rlhf_jax.experiment import ExperimentError, Pretrained, PretrainedReward
from rlhf_jax.experiment.overrides import naming
from rlhf_jax.models import TransformerConfig, huggingface
from rlhf_jax.stages import Method
from rlhf_jax.storage import seals
from rlhf_jax.types import Comparison


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


def pair_method(path: str) -> ModuleType:
  """The module of a method that learns a policy from pairs.

  Args:
    path: its import path; it has a `Config`, and `stages`, a `Method`.

  Raises:
    OverrideError: it does not serve, and why.
  """
  with naming('method', path):
    return _pair_method(path)


def _pair_method(path):
  try:
    module = importlib.import_module(path)
  except ImportError as e:
    raise ExperimentError(str(e)) from e
  stages = getattr(module, 'stages', None)
  if not isinstance(stages, Method) or not hasattr(module, 'Config'):
    raise ExperimentError('that module has no Config and stages')
  fits = (
    stages.reads == (Comparison,)
    and stages.produces == 'policy'
    and stages.frozen.keys() <= {'reference'}
    and stages.extra_data is None
  )
  if not fits:
    raise ExperimentError(
      'that does not learn a policy from pairs alone; take one such as '
      'rlhf_jax.methods.simpo'
    )
  return module
