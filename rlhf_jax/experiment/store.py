"""Stage folders, each addressed by all that its content depends on."""

import dataclasses
import json
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

from rlhf_jax.experiment import definition
from rlhf_jax.experiment.describe import code_version, describe, digest
from rlhf_jax.stages import DatasetStage, Ensemble, Stage

# What every training stage runs besides the functions that its config names.
MODEL_CODE = ('rlhf_jax.models.transformer', 'rlhf_jax.models.heads')
# How a stage is watched: no part of what it makes.
WATCHED = ('log_every', 'checkpoint_every', 'alarm', 'produces')
SAMPLING_CODE = ('rlhf_jax.generation.decode', 'rlhf_jax.generation.rollouts')
# What stages are handed and do not name.
BENCH_CODE = ('rlhf_jax.experiment.bench',)
BESIDE_CODE = ('rlhf_jax.models.bottleneck',)


@dataclasses.dataclass(frozen=True)
class Folder:
  """Where a stage keeps its files.

  A stage is done when `done.json` is there, which is written last.
  """

  path: pathlib.Path

  @property
  def done(self) -> bool:
    return (self.path / 'done.json').exists()

  def finish(self, facts: Mapping[str, Any]) -> None:
    """Marks the stage done, with a few facts for people."""
    write_json(self.path / 'done.json', facts)

  def facts(self) -> dict[str, Any]:
    return json.loads((self.path / 'done.json').read_text())

  def clear(self) -> None:
    """Deletes whatever is there."""
    shutil.rmtree(self.path, ignore_errors=True)


def addresses(experiment: definition.Experiment) -> dict[str, str]:
  """`<stage>-<digest>` of every stage, and `data-<digest>` of the source.

  A digest covers the stage's config, functions and their code, the model, the
  limits, the seed, the data, and the addresses of the stages it builds on: not
  its name in this experiment, nor how often it logs.
  """
  source = describe(experiment.data)
  found = {
    'data': 'data-'
    + digest(source, code_version(source), experiment.data.fingerprint())
  }
  for name, stage in experiment.stages.items():
    stage_facts = _facts(stage)
    depends = {
      role: found[needed]
      for role, needed in definition.dependencies(stage).items()
    }
    own = [
      found.get(d, f'{found["data"]}/{d}') for d in definition.datasets(stage)
    ]
    depends['data'] = own[0] if len(own) == 1 else own
    code = code_version(stage_facts, handed(stage))
    shape = describe((experiment.model, experiment.limits, experiment.seed))
    found[name] = f'{name}-{digest(stage_facts, depends, code, shape)}'
  return found


def handed(stage: Stage | DatasetStage) -> tuple[str, ...]:
  """The modules that a stage runs and that its config does not name."""
  if isinstance(stage, DatasetStage):
    return (*MODEL_CODE, *SAMPLING_CODE, *BENCH_CODE)
  code = MODEL_CODE
  if stage.collect is not None:
    code += SAMPLING_CODE
  if stage.beside is not None:
    code += BESIDE_CODE
  return code


def _facts(stage: Stage | DatasetStage) -> dict[str, Any]:
  facts = describe(stage)
  # Earlier stages count by their addresses, whatever they are called here, and
  # how a run is watched changes nothing.
  for name in ('start', 'policy', 'data', 'beside', *WATCHED):
    facts.pop(name, None)
  facts['frozen'] = {
    role: describe(source.combine if isinstance(source, Ensemble) else source)
    for role, source in stage.frozen.items()
    if not isinstance(source, str)
  }
  return facts


def write_json(path: pathlib.Path, content: Any) -> None:
  """Writes a file whole or not at all."""
  partial = path.with_name(path.name + '.partial')
  partial.write_text(json.dumps(content, indent=2) + '\n')
  os.replace(partial, path)
