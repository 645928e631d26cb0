"""Stage folders, each addressed by all that its content depends on."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from rlhf_jax.experiment import definition
from rlhf_jax.experiment.describe import code_version, describe, digest
from rlhf_jax.stages import DatasetStage, Ensemble, Stage
from rlhf_jax.storage import files, seals
from rlhf_jax.storage.files import write_json as write_json

# What every training stage runs besides the functions that its config names.
MODEL_CODE = ('rlhf_jax.models.transformer', 'rlhf_jax.models.heads')
# What a training stage is given its batches by, and takes its steps in.
TRAINING_CODE = (
  'rlhf_jax.data.encoding',
  'rlhf_jax.data.batches',
  'rlhf_jax.training.loop',
)
# How a stage is watched: no part of what it makes.
WATCHED = (
  'log_every',
  'checkpoint_every',
  'keep_checkpoint',
  'alarm',
  'produces',
)
SAMPLING_CODE = ('rlhf_jax.generation.decode', 'rlhf_jax.generation.rollouts')
# What stages are handed and do not name.
BENCH_CODE = ('rlhf_jax.experiment.bench', 'rlhf_jax.experiment.writing')
BESIDE_CODE = ('rlhf_jax.models.bottleneck',)
# What a stage's folder holds.
DONE = 'done.json'
CONFIG = 'config.json'
RECORDS = 'records.jsonl'
PARTIAL_RECORDS = 'records.partial.jsonl'
METRICS = 'metrics.jsonl'
SAMPLES = 'samples.txt'
PARAMS = 'params'
CHECKPOINTS = 'checkpoints'
# Copies are kept with the parameters, under their seal.
COPIED = (METRICS, SAMPLES)


@dataclasses.dataclass(frozen=True)
class Folder:
  """Where a stage keeps its files.

  A stage is done when `done.json` is there, which is written last.
  """

  path: pathlib.Path

  @property
  def done(self) -> bool:
    return (self.path / DONE).exists()

  def finish(self, facts: Mapping[str, Any]) -> None:
    """Marks the stage done, with a few facts for people."""
    files.write_json(self.path / DONE, facts)

  def facts(self) -> dict[str, Any]:
    """What `finish` wrote.

    Raises:
      DamagedError: done.json is not what was written.
    """
    return seals.read_json(self.path / DONE, delete=self.path)

  def seconds(self) -> float:
    """How long the stage took.

    Raises:
      DamagedError: done.json does not say so.
    """
    found = self.facts().get('seconds')
    if not isinstance(found, int | float):
      why = 'is damaged: it does not say how many seconds the stage took'
      raise seals.DamagedError(self.path / DONE, why, self.path)
    return found

  def records(self) -> pathlib.Path:
    """The file of the records that the stage wrote.

    Raises:
      DamagedError: it is not what was written.
    """
    path = self.path / RECORDS
    if not path.is_file():
      raise seals.DamagedError(path, 'is not there', self.path)
    if seals.checksum(path) != self.facts().get('checksum'):
      why = 'is damaged: its checksum differs'
      raise seals.DamagedError(path, why, self.path)
    return path

  def tidy(self, *, config: Any, keep_checkpoint: bool) -> None:
    """Leaves of a stage that is done what it hands on, and mends its logs.

    What it takes away and puts back, a kill after `finish` or a hand may have
    left or lost. Runs that read the stage may do this side by side.

    Args:
      config: what config.json says, where it is damaged.
      keep_checkpoint: whether the last checkpoint stays.
    """
    files.remove(self.path / PARTIAL_RECORDS)
    if not keep_checkpoint:
      files.remove(self.path / CHECKPOINTS)
      files.sweep(self.path / CHECKPOINTS)
    for name in COPIED:
      copy, path = self.path / PARAMS / name, self.path / name
      if copy.exists() and not seals.same(copy, path):
        seals.verify(copy.parent, delete=self.path)
        with files.whole(path, 'wb') as file:
          file.write(copy.read_bytes())
    try:
      seals.read_json(self.path / CONFIG, delete=self.path)
    except (seals.DamagedError, files.StorageError):
      files.write_json(self.path / CONFIG, config)

  def clear(self) -> None:
    """Deletes whatever is there, at once in the eyes of others."""
    files.remove(self.path)


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
    shape = describe((experiment.model, experiment.limits, experiment.seed))
    code = code_version([stage_facts, shape], handed(stage))
    found[name] = f'{name}-{digest(stage_facts, depends, code, shape)}'
  return found


def handed(stage: Stage | DatasetStage) -> tuple[str, ...]:
  """The modules that a stage runs and that its config does not name."""
  if isinstance(stage, DatasetStage):
    return (*MODEL_CODE, *SAMPLING_CODE, *BENCH_CODE)
  code = MODEL_CODE + TRAINING_CODE
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
