"""The policy that a command line names: in a folder, or of a run."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple, TextIO

from launch import errors, exporting
from rlhf_jax.addressing import digest
from rlhf_jax.data import tokens
from rlhf_jax.experiment import folder_policy, store
from rlhf_jax.models import huggingface, lora
from rlhf_jax.storage import seals

# What config.json says that a stage's folder is.
STAGES = tuple(f'rlhf_jax.stages.stage.{x}' for x in ('Stage', 'DatasetStage'))


class Policy(NamedTuple):
  """A language model that answers.

  Attributes:
    name: as tables have it.
    folder: of transformers, which it is, or began from.
    stage: the folder of the stage that trained it, or None.
  """

  name: str
  folder: str
  stage: pathlib.Path | None = None

  def fingerprint(self, limits: Any) -> str:
    """Changes when its answers might."""
    known = folder_policy.fingerprint(self.folder, limits)
    if self.stage is None:
      return known
    path = self.stage / store.PARAMS / seals.SEAL
    return digest(known, seals.read_json(path, delete=self.stage))

  def opened(self, limits: Any, console: TextIO) -> Any:
    """Its FolderPolicy.

    Raises:
      OptionError: it was trained on the ids of another tokenizer.
    """
    if self.stage is None:
      return folder_policy.FolderPolicy(
        self.folder, limits=limits, console=console
      )
    known = store.vocabulary_of(self.stage / store.PARAMS)
    if known not in (None, store.ids_of(tokens.load(self.folder))):
      raise errors.OptionError(
        f'{self.stage} was trained on other tokens than those of '
        f'{self.folder}, from which it began; was that changed since?'
      )

    def trained(mesh):
      original = pathlib.Path(self.folder)
      _, params = exporting.trained(
        self.stage, original=original, mesh=mesh, role='policy'
      )
      return lora.merge(params)

    return folder_policy.FolderPolicy(
      self.folder, limits=limits, console=console, trained=trained
    )


def named(place: str) -> Policy:
  """The policy in a folder of transformers, or of a run or a stage of it.

  Args:
    place: the folder; or that of a stage, as in RUN/stages/dpo; or a run's
      --out, for what it trained last.

  Raises:
    OptionError: it is none of these, or is not trained yet, or began from no
      folder of transformers, whose tokenizer and layout it would have.
  """
  path = pathlib.Path(place)
  if path.name == store.PARAMS:
    path = path.parent
  said = _described(path)
  if 'stages' in said:
    path = _last(path, said['stages'])
  elif said.get('type') not in STAGES:
    if huggingface.is_folder(path):
      return Policy(path.resolve().name, place)
    seeds = sorted(path.glob(f'seed-*/{store.CONFIG}'))
    if seeds:
      raise errors.OptionError(
        f'{place} holds the runs of several seeds; name one: {seeds[0].parent}'
      )
    raise errors.OptionError(
      f'{place} is neither a file of answers, nor a folder of transformers, '
      'nor a run (the --out of launch.train) or a stage of one, as in '
      f'RUN/stages/dpo{errors.nearest(path)}'
    )
  folder = _began(path)
  if not (path / store.PARAMS).is_dir():
    raise errors.OptionError(
      f'{path} is not trained yet; run its experiment to the end first'
    )
  run = path.parent.parent.name if path.parent.name == 'stages' else ''
  return Policy(f'{run}/{path.name}' if run else path.name, folder, path)


def of_run(folder: pathlib.Path) -> bool:
  """Whether a folder is a run's, or a stage's."""
  said = _described(folder)
  return 'stages' in said or said.get('type') in STAGES


def _last(run: pathlib.Path, stages: Mapping[str, Any]) -> pathlib.Path:
  """The stage of a run that trains a policy last."""
  found = [k for k, one in stages.items() if one.get('produces') == 'policy']
  if not found:
    raise errors.OptionError(
      f'{run} trains no policy; its stages are {", ".join(stages)}'
    )
  return run / 'stages' / found[-1]


def _began(stage: pathlib.Path) -> str:
  """The folder of transformers that a stage's policy began from."""
  said = _described(stage)
  if not said:
    raise errors.OptionError(
      f'there is no stage {stage}, or not yet; name a policy by its run, as in '
      'RUN/stages/dpo, where the stages before it are too'
    )
  if said.get('produces') != 'policy':
    raise errors.OptionError(
      f'{stage} trains no policy; name a stage that does, as in RUN/stages/dpo'
    )
  source = said.get('start', {}).get('policy')
  if isinstance(source, Mapping):
    source = source.get('folder')
  elif isinstance(source, str) and '/' not in source:
    return _began(stage.parent / source)
  if source is None:
    raise errors.OptionError(
      f'the policy of {stage} began from no folder of transformers, whose '
      'tokenizer it would answer with; its own run measures it, or begin from '
      'one, as --set model=DIR does'
    )
  folder = pathlib.Path(source)
  if huggingface.is_folder(folder):
    return str(folder)
  if folder.name == store.PARAMS and folder.is_dir():
    return _began(folder.parent)
  raise errors.OptionError(
    f'the policy of {stage} began from {source}, which is no folder of '
    'transformers now; give the command where the run was started'
  )


def _described(folder: pathlib.Path) -> dict[str, Any]:
  """What the config.json of a folder says; nothing where there is none."""
  path = folder / store.CONFIG
  if not path.is_file():
    return {}
  try:
    said = json.loads(path.read_text())
  except ValueError as error:
    raise errors.OptionError(f'{path} is damaged ({error})') from error
  return said if isinstance(said, dict) else {}
