"""Methods as data, and the stages that they become in an experiment."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from rlhf_jax.stages.sources import Ensemble, Fresh, Frozen, Start
from rlhf_jax.stages.stage import DatasetStage, Stage
from rlhf_jax.types import Prompt
from rlhf_jax.types.rules import Count
from rlhf_jax.types.values import checked

# What starts, scores and answers where the caller does not say.
SOURCES = {'start': 'sft', 'policy': 'sft', 'reward': 'reward_model'}


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Method:
  """A method that trains, as data; called, it is a stage of an experiment.

  Attributes:
    name: of the stage, unless the caller gives another.
    data: likewise of its dataset.
    start: by role, what the caller calls the stage that it starts from.
    frozen: likewise the stage, reward or program that is kept as it is.
    sources: what these are where the caller gives nothing, other than `SOURCES`
      has it; None for none.
    extra_data: a dataset of which every step has a batch too, if any.
    init, update, loss, collect, precompute, features, reads, reads_extra,
      least_responses, produces, alarm, log_every, checkpoint_every: as of a
      Stage.
  """

  name: str
  data: str | tuple[str, ...]
  init: Callable
  update: Callable
  loss: Callable | None = None
  collect: Callable | None = None
  precompute: Callable | None = None
  features: Callable | None = None
  start: Mapping[str, str] = dataclasses.field(
    default_factory=lambda: {'policy': 'start'}
  )
  frozen: Mapping[str, str] = dataclasses.field(default_factory=dict)
  sources: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
  extra_data: str | None = None
  reads: tuple[type, ...] = ()
  reads_extra: tuple[type, ...] = ()
  least_responses: Count = 2
  produces: str = 'policy'
  alarm: Callable | None = None
  log_every: Count = 10
  checkpoint_every: Count = 200

  def __call__(
    self,
    config: Any,
    *,
    name: str | None = None,
    data: str | tuple[str, ...] | None = None,
    extra_data: str | None = None,
    order: Callable[[Any], Any] | None = None,
    curriculum: Any = None,
    mixture: Any = None,
    reading: Callable[[Any, Any], Any] | None = None,
    **sources: Frozen | Fresh | Mapping[str, Start] | None,
  ) -> dict[str, Stage]:
    """{name: the stage} of a config.

    Args:
      config: the method's.
      name, data, extra_data: in place of the method's own.
      order, curriculum, mixture, reading: as of a Stage.
      sources: whose parameters it starts from and keeps, by the names in
        `start` and `frozen`: a stage, or a Pretrained model; with `start` None
        it starts afresh. `start` may be {role: stage}, for other roles.
    """
    found = _sources(self, sources)
    start = found.get('start')
    if isinstance(start, Mapping):  # What the policy starts from is kept.
      found['start'] = start.get('policy')
    else:
      start = {role: _trained(found[of]) for role, of in self.start.items()}
    return {
      name or self.name: Stage(
        **{f: getattr(self, f) for f in Stage._fields if hasattr(self, f)}
        | {
          'config': config,
          'data': data or self.data,
          'start': {role: stage for role, stage in start.items() if stage},
          'frozen': {
            role: _kept(found[of]) for role, of in self.frozen.items()
          },
          'extra_data': extra_data or self.extra_data,
          'order': order,
          'curriculum': curriculum,
          'mixture': mixture,
          'reading': reading,
        }
      )
    }


# A method of rounds: it learns from its own samples, which a reward scores.
Online = functools.partial(
  Method,
  data='prompts',
  reads=(Prompt,),
  frozen={'reference': 'start', 'reward': 'reward'},
  log_every=1,
  checkpoint_every=10,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatasetMethod:
  """What builds a dataset, as data; called, it is a stage of an experiment.

  Attributes:
    name, data: as of a Method.
    build, reads, builds: as of a DatasetStage.
    policy: what the caller calls the stage that answers; None where none does.
    frozen, sources: as of a Method.
    asked: (config, sources) -> {'policy', 'frozen'} of the DatasetStage, where
      the config says who is asked.
  """

  name: str
  data: str | tuple[str, ...]
  build: Callable
  reads: tuple[type, ...] = ()
  builds: type | None = None
  policy: str | None = None
  frozen: Mapping[str, str] = dataclasses.field(default_factory=dict)
  sources: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
  asked: Callable[[Any, Mapping[str, Any]], Mapping[str, Any]] | None = None

  def __call__(
    self,
    config: Any,
    *,
    name: str | None = None,
    data: str | tuple[str, ...] | None = None,
    **sources: Frozen | None,
  ) -> dict[str, DatasetStage]:
    """{name: the stage} of a config; arguments as of a Method."""
    found = _sources(self, sources)
    asked = {'frozen': {role: found[of] for role, of in self.frozen.items()}}
    if self.policy is not None:
      asked['policy'] = found[self.policy]
    if self.asked is not None:
      asked = self.asked(config, found)
    return {
      name or self.name: DatasetStage(
        build=self.build,
        config=config,
        data=data or self.data,
        reads=self.reads,
        builds=self.builds,
        **asked,
      )
    }


def _sources(method: Method | DatasetMethod, given: Mapping[str, Any]):
  """{name: the stage, folder or program} that a caller gave, or by default.

  Raises:
    TypeError: a name that the method has no role for.
  """
  named = {*getattr(method, 'start', {}).values(), *method.frozen.values()}
  named |= {*method.sources, getattr(method, 'policy', None)} - {None}
  unknown = sorted(set(given) - named)
  if unknown:
    raise TypeError(
      f'{method.name} takes no {unknown[0]!r}; it takes '
      f'{", ".join(sorted(named))}'
    )
  known = {name: method.sources.get(name, SOURCES.get(name)) for name in named}
  return known | given


def _kept(source: Frozen | Fresh | None) -> Frozen | None:
  """A source as a frozen role takes it.

  Of freshly drawn parameters that is None: the stage's own start.
  """
  return None if isinstance(source, Fresh) else source


def _trained(source: Frozen | Fresh | None) -> Start | None:
  """The stage or folder whose parameters a source begins from.

  Of an ensemble, its first member; None of a function, which has no parameters,
  and of an implicit reward.
  """
  first = source.members[0] if isinstance(source, Ensemble) else source
  return first if isinstance(first, Start) else None
