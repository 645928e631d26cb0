"""Whether what an experiment names is there, and is of the right kind.

All that the config says is looked at when it is made; what datasets hold, once
they are read, before anything runs.
"""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlhf_jax.data import sequences
from rlhf_jax.data.names import nearest
from rlhf_jax.experiment import ordering
from rlhf_jax.losses import objective as objectives
from rlhf_jax.stages import (
  AnyStage,
  DatasetStage,
  Fresh,
  ImplicitReward,
  Learnt,
  Pretrained,
  Stage,
  datasets,
  folder_of,
  members,
  names,
  parameter_sources,
  sources,
)
from rlhf_jax.types import Comparison, Demonstration, Prompt, calls, values

# A stage's name is that of a folder, and part of dotted names.
NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._+-]*')
LONGEST_NAME = 100
# Names that no stage may have: the source's folder, the key of evaluation.
TAKEN = ('data', 'evaluation')
# What a training stage asks of its config.
TRAINS = ('steps', 'batch_size', 'make_optimizer')
# What a role may be taken from, by what a stage produces; others are free.
PRODUCERS = {
  'policy': ('policy', 'attributes'),  # A writer of attributes is one too.
  'reference': ('policy',),
  'reward': ('reward', 'unscaled_reward'),
  'critic': ('policy', 'reward'),
  'ranker': ('ranker',),
  'attributes': ('attributes', 'policy'),
  'scale': ('scale',),
}


class ExperimentError(ValueError):
  """An experiment that cannot be run as it is written."""


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
    _check_parameters(name, stage, done)
    _check_extra_data(name, stage)
    _check_order(name, stage)
    for dataset in datasets(stage):
      _check_writer(name, dataset, stages, done)
    done[name] = stage


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
      kinds[name] = stage.writes
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


def _check_parameters(name, stage, done):
  """Whether the stages that a stage starts from or keeps are there."""
  for role, needed in parameter_sources(stage).items():
    _check_source(f'stage {name!r} takes its {role} from', role, needed, done)
  for role, source in stage.frozen.items():
    if role != 'reward' and not isinstance(source, str | Pretrained | None):
      raise ExperimentError(
        f'stages.{name}.frozen.{role} is {calls.shown(source)}, and only a '
        'reward may be a program, or be read from several models; name an '
        'earlier stage'
      )
    if source is None and (role, stage.produces) != ('reference', 'policy'):
      raise ExperimentError(
        f'stages.{name}.frozen.{role} is none; name an earlier stage, or give '
        'a folder of parameters by its path'
      )
  _check_implicit(f'stage {name!r}', stage.frozen.get('reward'), done)
  _check_reference(name, stage)
  _check_sampler(name, stage)


def check_reward(
  who: str, reward: Learnt, stages: Mapping[str, AnyStage]
) -> None:
  """Refuses a reward of stages that are not there, or train something else.

  Args:
    who: names what reads it, as a sentence begins.
    reward: what may score.
    stages: that it may be read from.

  Raises:
    ExperimentError: naming the stage and those that would do.
  """
  for role, needed in sources(reward, 'reward').items():
    _check_source(f'{who} takes its {role} from', role, needed, stages)
  _check_implicit(who, reward, stages)


def _check_source(says, role, needed, done):
  """Whether a stage that parameters are taken from trains what is needed."""
  if isinstance(needed, Fresh) or folder_of(needed) is not None:
    return
  trained = {n: s for n, s in done.items() if isinstance(s, Stage)}
  if needed not in trained:
    other = 'writes a dataset' if needed in done else 'is no earlier stage'
    raise ExperimentError(
      f'{says} {needed!r}, which {other}; '
      f'earlier are {", ".join(trained) or "none"}'
      + nearest(needed, trained).removesuffix('.')
      + _as_folder(needed)
    )
  fitting = PRODUCERS.get(role_of(role))
  produces = trained[needed].produces
  known = any(produces in p for p in PRODUCERS.values())
  if fitting and known and produces not in fitting:
    fit = [n for n, s in trained.items() if s.produces in fitting]
    raise ExperimentError(
      f'{says} {needed!r}, which trains a '
      f'{produces}; there are {", ".join(fit) or "none that would do"}'
    )


def _check_implicit(who, reward, done):
  """Whether policies are read as rewards against what they were held to."""
  for member in members(reward):
    if not isinstance(member, ImplicitReward):
      continue
    stage = done.get(member.policy)
    kept = None if stage is None else stage.frozen.get('reference')
    if kept is not None and _same(kept) != _same(member.reference):
      raise ExperimentError(
        f'{who} reads the policy {member.policy!r} as a reward against the '
        f'reference {member.reference!r}, and it was trained against {kept!r}; '
        f'give reference={kept!r}'
      )


def _same(source):
  """A source, a folder always by its path."""
  return folder_of(source) or source


def _as_folder(needed):
  if pathlib.Path(needed).is_dir():
    return f'; a folder is given with a slash, ./{needed}'
  return ''


def _check_sampler(name, stage):
  """Whether a stage that samples responses names a policy to sample from."""
  config = stage.config
  if isinstance(stage, Stage) or stage.policy is not None:
    return
  if hasattr(config, 'sampling') and getattr(config, 'samples', 1):
    raise ExperimentError(
      f'stages.{name}.policy is none, and this stage samples responses; name '
      'the stage whose policy answers'
    )


def role_of(words: str) -> str:
  """The role of 'starting policy', 'frozen reward 1', "reward's policy"."""
  return [word for word in words.split() if not word.isdigit()][-1]


def _check_reference(name, stage):
  """Whether a reference is kept where an objective reads one."""
  objective = getattr(stage.config, 'objective', None)
  if isinstance(stage, DatasetStage) or not calls.parameters(objective):
    return
  wanted = objectives.of_reference(objectives.reads(objective))
  if wanted and 'reference' not in stage.frozen:
    raise ExperimentError(
      f'stages.{name}.config.objective reads {", ".join(wanted)}, and stage '
      f'{name!r} keeps no reference; freeze one, or choose another objective'
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
