"""Whether the datasets that an experiment names are there, and fit.

Looked at once they are read, before anything runs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlhf_jax.data import sequences
from rlhf_jax.data.names import nearest
from rlhf_jax.experiment.errors import ExperimentError
from rlhf_jax.stages import AnyStage, DatasetStage, Stage, datasets, names
from rlhf_jax.types import Comparison, Demonstration


def check_datasets(
  stages: Mapping[str, AnyStage], source: Mapping[str, Sequence]
) -> dict[str, type | None]:
  """Refuses a stage whose dataset is not there, is empty or of another kind.

  Args:
    stages: of an experiment.
    source: the source's datasets, by name.

  Returns:
    The kind of record of every dataset, the stages' own too; None where it is
    not known.

  Raises:
    ExperimentError: naming the stage, the dataset and those that there are.
  """
  kinds = {
    name: type(records[0]) if len(records) else None
    for name, records in source.items()
  }
  for name, stage in stages.items():
    if name in source:
      raise ExperimentError(
        f'stage {name!r} is named as a dataset of the source is; call it '
        'something else'
      )
    extra = getattr(stage, 'extra_data', None)
    for dataset in datasets(stage):
      who = f'stage {name!r} takes its data from {dataset!r}'
      reads = stage.reads_extra if dataset == extra else stage.reads
      check_dataset(who, dataset, reads, source, kinds)
      if isinstance(stage, Stage) and dataset != extra:
        _check_compared(name, stage, source.get(dataset, ()))
    if isinstance(stage, DatasetStage):
      kinds[name] = stage.builds
  return kinds


def check_evaluation(
  evaluation: Any, source: Mapping[str, Sequence], kinds: Mapping[str, Any]
) -> None:
  """Refuses measuring on a dataset that is not there or is of another kind.

  Args:
    evaluation: an Evaluation.
    source: the source's datasets, by name.
    kinds: of `check_datasets`.
  """
  compared = evaluation.comparisons
  if not isinstance(compared, Mapping):
    compared = {'': compared}
  asked = [
    ('prompts', evaluation.prompts, ()),
    ('demonstrations', evaluation.demonstrations, (Demonstration,)),
    *(('comparisons', of, (Comparison,)) for of in compared.values()),
  ]
  for field, dataset, reads in asked:
    if dataset is not None:
      who = f'evaluation.{field} is {dataset!r}'
      check_dataset(who, dataset, reads, source, kinds)
      if field == 'comparisons':
        check_several(source.get(dataset, ()))
  for name, fitted in evaluation.fitted_rewards.items():
    for dataset in names(fitted.data):
      who = f'evaluation.fitted_rewards.{name} is fitted on {dataset!r}'
      check_dataset(who, dataset, (Comparison,), source, kinds)


def check_several(comparisons: Sequence[Comparison]) -> None:
  """Refuses to measure reward models on single responses."""
  single = _first_of_fewer(comparisons, 2)
  if single is not None:
    raise ExperimentError(
      f'{single.prompt.place}: reward models are measured on two responses to '
      'a prompt or more, and here is one; give evaluation.comparisons '
      'another dataset, or none'
    )


def _check_compared(name, stage, records):
  """Whether comparisons have the responses that a stage compares."""
  if Comparison not in stage.reads:
    return
  single = _first_of_fewer(records, stage.least_responses)
  if single is not None:
    raise ExperimentError(
      f'{single.prompt.place}: stage {name!r} compares '
      f'{stage.least_responses} responses to a prompt or more, and here is '
      f'{len(single.responses)}; to learn from responses that are each good '
      'or bad, take rlhf_jax.methods.kto'
    )


def _first_of_fewer(
  comparisons: Sequence[Comparison], least: int
) -> Comparison | None:
  """The first with fewer responses than `least`; None where there is none."""
  counts = sequences.column(comparisons, 'responses')
  if counts is None:
    counts = [len(said.responses) for said in comparisons]
  fewer = np.flatnonzero(np.asarray(counts) < least)
  return comparisons[int(fewer[0])] if len(fewer) else None


def check_dataset(
  who: str,
  dataset: str,
  reads: Sequence[type],
  source: Mapping[str, Sequence],
  kinds: Mapping[str, type | None],
) -> None:
  """Refuses a dataset that is not there, is empty or holds other records.

  Args:
    who: how a sentence about it begins.
    dataset: its name.
    reads: the kinds of records that serve; any where there are none.
    source: the source's datasets, by name.
    kinds: of those and of the stages' before.
  """
  if dataset not in kinds:
    raise ExperimentError(
      f'{who}, and there is no such dataset before it; there are '
      f'{", ".join(kinds)}{nearest(dataset, kinds)}'.removesuffix('.')
    )
  if dataset in source and not len(source[dataset]):
    raise ExperimentError(f'{who}, which is empty')
  kind = kinds[dataset]
  if kind is not None and reads and kind not in reads:
    wanted = ' or '.join(read.__name__ for read in reads)
    fit = [d for d, k in kinds.items() if k in reads]
    raise ExperimentError(
      f'{who}, which holds records of the kind {kind.__name__}, and '
      f'{wanted} is needed, as in {", ".join(fit) or "no dataset there is"}'
    )
