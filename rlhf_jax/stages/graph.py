"""What the stages of an experiment need of each other."""

from collections.abc import Mapping

from rlhf_jax.stages.stage import (
  DatasetStage,
  Ensemble,
  Fresh,
  Pretrained,
  Stage,
  folder_of,
  names,
)

AnyStage = Stage | DatasetStage


def producing(stages: Mapping[str, AnyStage], role: str) -> dict[str, Stage]:
  """The stages that train this role ('policy', 'reward', …), in order."""
  return {
    name: stage
    for name, stage in stages.items()
    if isinstance(stage, Stage) and stage.produces == role
  }


def datasets(stage: AnyStage) -> tuple[str, ...]:
  """The datasets that a stage works on: its data, and its extra data."""
  extra = getattr(stage, 'extra_data', None)
  return names(stage.data) + (() if extra is None else (extra,))


def dependencies(stage: AnyStage) -> dict[str, str]:
  """The earlier stages whose parameters a stage needs, by role."""
  return {
    role: source
    for role, source in _sources(stage).items()
    if isinstance(source, str) and folder_of(source) is None
  }


def given(stage: AnyStage) -> dict[str, str]:
  """The folders whose parameters a stage needs, by role."""
  found = {role: folder_of(source) for role, source in _sources(stage).items()}
  return {role: folder for role, folder in found.items() if folder is not None}


def drawn(stage: AnyStage) -> dict[str, Fresh]:
  """What a stage draws at a size of its own, by role."""
  found = _sources(stage)
  return {role: made for role, made in found.items() if isinstance(made, Fresh)}


def _sources(stage):
  frozen = {}
  for role, source in stage.frozen.items():
    if isinstance(source, str | Pretrained):
      frozen[f'frozen {role}'] = source
    elif isinstance(source, Ensemble):
      for number, member in enumerate(source.members):
        frozen[f'frozen {role} {number}'] = member
  if isinstance(stage, DatasetStage):
    return ({} if stage.policy is None else {'policy': stage.policy}) | frozen
  start = {r: s for r, s in stage.start.items() if s is not None}
  return {f'starting {r}': s for r, s in start.items()} | frozen
