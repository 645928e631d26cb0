"""The folders of stages, named after all that their content depends on."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from rlhf_jax.addressing import (
  Code,
  describe,
  digest,
  field_values,
  hashed,
  import_path,
)
from rlhf_jax.experiment import definition, running, writing
from rlhf_jax.experiment.pretrained import with_text_rewards
from rlhf_jax.models import huggingface
from rlhf_jax.stages import DatasetStage, Ensemble, Pretrained, Stage, graph
from rlhf_jax.storage import seals

# How a stage is watched: no part of what it makes.
WATCHED = (
  'log_every',
  'checkpoint_every',
  'keep_checkpoint',
  'alarm',
  'produces',
)
# What earlier stages made counts by their addresses, whatever they are called.
EARLIER = ('start', 'policy', 'data', 'extra_data', 'frozen')


def stage_addresses(experiment: definition.Experiment) -> dict[str, str]:
  """`<stage>-<digest>` of every stage, and `data-<digest>` of the source.

  A digest covers the stage's config, the model, the limits, the seed, the data,
  the addresses of the stages that it builds on, the seals of the parameters
  that it is given, and the code that all of these
  and the runner run: not its name in this experiment, nor how often it logs.
  Who judges counts for stages that sample or write, which note what it says.

  Raises:
    NoSourceError: a function of the config has no source.
  """
  experiment = with_text_rewards(experiment)
  read = experiment.data.fingerprint()
  return _addresses(experiment, read, content, Code().name)


def stage_settings(experiment: definition.Experiment) -> dict[str, str]:
  """What addresses would be if code, and what is read, were always the same."""
  return _addresses(experiment, '', lambda folder: '', import_path)


def _addresses(
  experiment: definition.Experiment,
  read: str,
  content_of: Callable[[str], str],
  name_of: Callable[[Any], str],
) -> dict[str, str]:
  """Addresses.

  Args:
    experiment: whose.
    read: fingerprint of what is read.
    content_of: says the content of a folder of parameters.
    name_of: says a function or class.
  """

  def said(value):
    return describe(value, name_of)

  data, gold = without_gold(experiment.data)
  found = {'data': f'data-{digest(said(data), read)}'}
  shape = said((experiment.model, experiment.limits, experiment.seed))
  for name, stage in experiment.stages.items():
    depends = {
      role: found[needed] for role, needed in graph.dependencies(stage).items()
    }
    for role, folder in graph.given(stage).items():
      depends[role] = content_of(folder)
    for role, fresh in graph.drawn(stage).items():
      depends[role] = said(fresh)
    own = [found.get(d, f'{found["data"]}/{d}') for d in graph.datasets(stage)]
    depends['data'] = own[0] if len(own) == 1 else own
    run = writing.write if isinstance(stage, DatasetStage) else running.train
    facts = said(_own(stage))
    if isinstance(stage, DatasetStage) or stage.collect is not None:
      facts['gold'] = said(gold)  # What it samples or pairs is judged by it.
    found[name] = f'{name}-{digest(facts, depends, shape, name_of(run))}'
  return found


def content(folder: str) -> str:
  """Changes when a folder of given parameters does; '' where there is none."""
  if huggingface.is_folder(folder):
    return huggingface.fingerprint(folder)
  seal = pathlib.Path(folder, seals.SEAL)
  return hashed(seal.read_text()) if seal.is_file() else ''


def without_gold(source: definition.Source) -> tuple[Any, Any]:
  """A source whose judge is no part of it, and the judge, if one is set."""
  gold = getattr(source, 'gold', None)
  if 'gold' not in {field.name for field in dataclasses.fields(source)}:
    return source, None
  return dataclasses.replace(source, gold=None), gold


def _own(stage: Stage | DatasetStage) -> dict[str, Any]:
  """A stage less what is watched and what earlier stages made of it."""
  own = {
    field: value
    for field, value in field_values(stage).items()
    if field not in (*EARLIER, *WATCHED)
  }
  own['frozen'] = {
    role: source.combine if isinstance(source, Ensemble) else source
    for role, source in stage.frozen.items()
    if not isinstance(source, str | Pretrained)
  }
  return own
