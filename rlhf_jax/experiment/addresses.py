"""The folders of stages, named after all that their content depends on."""

import dataclasses
from collections.abc import Callable
from typing import Any

from rlhf_jax.addressing import (
  Code,
  describe,
  digest,
  field_values,
  import_path,
)
from rlhf_jax.experiment import dataset_writing, definition, running
from rlhf_jax.experiment.identities import content
from rlhf_jax.experiment.pretrained import with_text_rewards
from rlhf_jax.stages import (
  AnyStage,
  DatasetStage,
  Ensemble,
  Fresh,
  Frozen,
  ImplicitReward,
  Pretrained,
  datasets,
  folder_of,
  parameter_sources,
)

# Fields without influence on what a stage makes.
WATCHED = (
  'log_every',
  'checkpoint_every',
  'keep_checkpoint',
  'alarm',
  'produces',
  'least_responses',
)
# Names of earlier stages and datasets, which count by their addresses instead.
EARLIER = ('start', 'policy', 'data', 'extra_data', 'frozen')


def stage_addresses(experiment: definition.Experiment) -> dict[str, str]:
  """`<stage>-<digest>` of every stage, and `data-<digest>` of the source.

  A digest covers the stage's config, the model, the limits, the seed, the data,
  the addresses of the stages that it builds on, the seals of the parameters
  that it is given, and all the code that runs, `running.train` or
  `dataset_writing.write` included. It leaves out the stage's name and how often
  it logs and saves. The gold reward counts for stages that sample or write,
  since they keep its scores with their results.

  Raises:
    NoSourceError: a function of the config has no source.
  """
  experiment = with_text_rewards(experiment)
  read = experiment.data.fingerprint()
  return _addresses(experiment, read, content, Code().name)


def stage_settings(experiment: definition.Experiment) -> dict[str, str]:
  """Addresses less code and the files that are read: equal for equal settings.

  They say of two folders of a stage whether only the code or the data differ.
  """
  return _addresses(experiment, '', lambda folder: '', import_path)


def _addresses(
  experiment: definition.Experiment,
  read: str,
  content_of: Callable[[str], str],
  name_of: Callable[[Any], str],
) -> dict[str, str]:
  """Addresses.

  Args:
    experiment: whose stages are addressed.
    read: fingerprint of the files that the data are read from.
    content_of: a folder of parameters -> a digest of its content.
    name_of: a function or class -> its name, perhaps with a hash of its code.
  """

  def said(value):
    return describe(value, name_of)

  data, gold = without_gold(experiment.data)
  found = {'data': f'data-{digest(said(data), read)}'}
  shape = said((experiment.model, experiment.limits, experiment.seed))
  for name, stage in experiment.stages.items():
    depends = {}
    for role, source in parameter_sources(stage).items():
      folder = folder_of(source)
      if isinstance(source, Fresh):
        depends[role] = said(source)
      else:
        depends[role] = content_of(folder) if folder else found[source]
    own = [found.get(d, f'{found["data"]}/{d}') for d in datasets(stage)]
    depends['data'] = own[0] if len(own) == 1 else own
    run = (
      dataset_writing.write
      if isinstance(stage, DatasetStage)
      else running.train
    )
    facts = said(_own(stage))
    if isinstance(stage, DatasetStage) or stage.collect is not None:
      facts['gold'] = said(gold)
    found[name] = f'{name}-{digest(facts, depends, shape, name_of(run))}'
  return found


def without_gold(source: definition.Source) -> tuple[Any, Any]:
  """A source whose judge is no part of it, and the judge, if one is set."""
  if 'gold' not in {field.name for field in dataclasses.fields(source)}:
    return source, None
  return dataclasses.replace(source, gold=None), source.gold


def _own(stage: AnyStage) -> dict[str, Any]:
  """The fields of a stage that count by their own values."""
  own = {
    field: value
    for field, value in field_values(stage).items()
    if field not in (*EARLIER, *WATCHED)
  }
  own['frozen'] = {role: own_part(of) for role, of in stage.frozen.items()}
  return own


def own_part(kept: Frozen | None) -> Any:
  """A frozen input less the stages or folders whose parameters it takes.

  Those enter an address by addresses of their own: what is left is how an
  ensemble combines its members, β of an implicit reward, or a Reward function.
  """
  if isinstance(kept, Ensemble):
    return [kept.combine, *map(own_part, kept.members)]
  if isinstance(kept, ImplicitReward):
    return {'beta': kept.beta}
  return None if isinstance(kept, str | Pretrained) else kept
