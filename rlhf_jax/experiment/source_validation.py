"""Whether what parameters and rewards are taken from is there, and fits."""

import pathlib
from collections.abc import Mapping

from rlhf_jax.data.names import nearest
from rlhf_jax.experiment.errors import ExperimentError
from rlhf_jax.losses import objective as objectives
from rlhf_jax.stages import (
  AnyStage,
  DatasetStage,
  Fresh,
  ImplicitReward,
  Learnt,
  Pretrained,
  Stage,
  folder_of,
  members,
  name_of,
  parameter_sources,
  role_of,
  sources,
)
from rlhf_jax.types import calls

# What a role may be taken from, by what a stage produces; others are free.
PRODUCERS = {
  'policy': ('policy', 'attributes'),  # A writer of attributes is one too.
  'reference': ('policy',),
  'reward': ('reward', 'unscaled_reward'),
  'critic': ('policy', 'reward'),
  'ranker': ('ranker',),
  'attributes': ('attributes',),
  'scale': ('scale',),
}


def check_parameters(
  name: str, stage: AnyStage, done: Mapping[str, AnyStage]
) -> None:
  """Refuses a stage that takes parameters from what does not have them.

  Args:
    name: the stage's.
    stage: it.
    done: the stages before it.

  Raises:
    ExperimentError: naming the stage, what it names and those that would do.
  """
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
    if kept is not None and name_of(kept) != name_of(member.reference):
      raise ExperimentError(
        f'{who} reads the policy {member.policy!r} as a reward against the '
        f'reference {member.reference!r}, and it was trained against {kept!r}; '
        f'give reference={kept!r}'
      )


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
