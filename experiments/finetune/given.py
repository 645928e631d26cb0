"""What a recipe's settings name: a model, data, a reward, a method."""

import dataclasses
import importlib
import os
import pathlib
from collections.abc import Callable, Sequence
from types import ModuleType

from rlhf_jax.data.files import Dataset, Files, files_at
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


def files(
  data: str | tuple[str, ...],
  columns: str,
  *,
  read: Callable[..., Dataset],
  first: int | None = None,
) -> tuple[str, tuple[Files, ...]]:
  """A folder, and the files below it that each of `data` means.

  Args:
    data: what is set: one, or several.
    columns, read, first: as of `files_at`.

  Raises:
    OverrideError: one means no file.
  """
  found = []
  for place in [data] if isinstance(data, str) else data:
    with naming('data', place):
      if not place:
        raise ExperimentError('give a file, a folder or a dataset')
      found.append(files_at(place, columns, read=read, first=first))
  if len(found) == 1:
    ((folder, only),) = found
    return folder, (only,)
  folders = [os.path.abspath(folder) for folder, _ in found]
  above = os.path.commonpath(folders)
  return above, tuple(
    _below(above, folder, own)
    for folder, (_, own) in zip(folders, found, strict=True)
  )


def _below(above: str, folder: str, own: Files) -> Files:
  """Files of a folder, as files of a folder above it."""
  between = pathlib.PurePath(folder).relative_to(above)

  def named(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(between / name) for name in names)

  return dataclasses.replace(
    own, names=named(own.names), held_out=named(own.held_out)
  )


def check_shares(
  data: str | tuple[str, ...], shares: tuple[float, ...]
) -> None:
  """Refuses shares of a batch that are not one for each of several data.

  Raises:
    OverrideError: there are more or fewer.
  """
  several = 1 if isinstance(data, str) else len(data)
  if not shares or len(shares) == several > 1:
    return
  with naming('shares', ','.join(f'{share:g}' for share in shares)):
    raise ExperimentError(
      f'--set data names {several}, so give '
      + ('none, or name several' if several == 1 else f'{several} or none')
    )


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
