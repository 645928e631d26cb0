"""Whether the stages of an experiment are as they have to be.

Looked at when the experiment is made: names, values, where parameters and data
come from. What datasets hold, `dataset_validation.py` looks at.
"""

import re
from collections.abc import Mapping

from rlhf_jax.experiment import ordering, source_validation
from rlhf_jax.experiment.errors import ExperimentError
from rlhf_jax.stages import AnyStage, DatasetStage, Stage, datasets
from rlhf_jax.types import Prompt, values

# A stage's name is that of a folder, and part of dotted names.
NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._+-]*')
LONGEST_NAME = 100
# Names that no stage may have: the source's folder, the key of evaluation.
TAKEN = ('data', 'evaluation')
# What a training stage asks of its config.
TRAINS = ('steps', 'batch_size', 'make_optimizer')


def check_stages(stages: Mapping[str, AnyStage]) -> None:
  """Refuses stages that need what no stage before them gives.

  Raises:
    ExperimentError: naming the stage, what it names and the nearest of those
      that there are.
  """
  if not stages:
    raise ExperimentError('an experiment has stages, and this one has none')
  done: dict[str, AnyStage] = {}
  for name, stage in stages.items():
    _check_name(name)
    _check_values(name, stage)
    source_validation.check_parameters(name, stage, done)
    _check_extra_data(name, stage)
    _check_order(name, stage)
    for dataset in datasets(stage):
      _check_writer(name, dataset, stages, done)
    done[name] = stage


def _check_name(name):
  if name in TAKEN:
    raise ExperimentError(
      f'a stage is called {name!r}, as the {name} of the experiment is; call '
      'it something else'
    )
  if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
    raise ExperimentError(
      f'a stage is called {name[:LONGEST_NAME]!r}; take a name of at most '
      f'{LONGEST_NAME} letters, digits and _ - + ., since it names a folder'
    )


def _check_values(name, stage):
  try:
    values.check(stage)
  except values.ValueRuleError as e:
    raise ExperimentError(e.inside(f'stages.{name}')) from e
  if not isinstance(stage, Stage):
    return
  missing = [field for field in TRAINS if not hasattr(stage.config, field)]
  if missing:
    raise ExperimentError(
      f'stages.{name}.config is a {type(stage.config).__name__} without '
      f"{', '.join(missing)}; give the Config of the stage's method"
    )
  if Prompt in stage.reads and stage.collect is None:
    raise ExperimentError(
      f'stages.{name}.collect is none, and the stage learns from what it '
      'samples; give the collect of its method'
    )


def _check_extra_data(name, stage):
  """Whether there is extra data where a method wants some, and only there."""
  if isinstance(stage, DatasetStage):
    return
  takes = hasattr(stage.config, 'extra_batch_size')
  if stage.extra_data is not None and not takes:
    raise ExperimentError(
      f'stages.{name}.extra_data is {stage.extra_data!r}, and this method '
      'takes no extra data; leave it none'
    )
  if stage.extra_data is None and takes:
    raise ExperimentError(
      f'stages.{name}.extra_data is none, and this method takes extra data; '
      'name a dataset'
    )


def _check_order(name, stage):
  """Whether batches may be made in the order that is asked for."""
  if isinstance(stage, DatasetStage):
    return
  if stage.curriculum is not None and stage.mixture is not None:
    raise ExperimentError(
      f'stages.{name} has a curriculum and a mixture, and each says how much '
      'of what a batch has; leave one of them none'
    )
  if stage.order is None:
    return
  if reason := ordering.reason_for_random(stage):
    raise ExperimentError(
      f'stages.{name}.order is set, and its batches have to be drawn at '
      f'random: {reason}; leave it none'
    )


def _check_writer(name, dataset, stages, done):
  """Whether a dataset of a stage is one that is written, and before."""
  if dataset not in stages:
    return  # The source's, which is known once it is read.
  if dataset not in done:
    raise ExperimentError(
      f'stage {name!r} takes its data from {dataset!r}, which is no earlier '
      f'stage; earlier are {", ".join(done) or "none"}'
    )
  if isinstance(done[dataset], Stage):
    writers = [n for n, s in done.items() if isinstance(s, DatasetStage)]
    raise ExperimentError(
      f'stage {name!r} takes its data from {dataset!r}, which trains a '
      f'{done[dataset].produces} and writes no dataset; those that do are '
      f'{", ".join(writers) or "none"}, and the source'
    )
