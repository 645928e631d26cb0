"""An experiment as data: what is trained, on what, and how it is judged."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rlhf_jax.data.limits import Limits
from rlhf_jax.data.sources import Corpus
from rlhf_jax.models import TransformerConfig
from rlhf_jax.stages import DatasetStage, Ensemble, Stage, names
from rlhf_jax.types.values import Count, Positive, Seed, checked


class ExperimentError(ValueError):
  """An experiment that cannot be run as it is written."""


class Source(Protocol):
  """Where an experiment's data comes from: a frozen dataclass of settings."""

  def fingerprint(self) -> str:
    """Changes when the settings, or the files that are read, do."""

  def load(self, folder: pathlib.Path) -> Corpus:
    """Reads the data; what takes long to make is kept in `folder`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Evaluation:
  """How the policies of an experiment are measured at its end.

  Attributes:
    prompts: dataset of held-out prompts.
    comparisons: dataset of held-out pairs for the reward models, or None where
      pairs come from the policies themselves, ranked by the gold reward.
    count: how many of the prompts; all of them where None.
    samples: responses to each prompt.
    batch_size: prompts answered at a time.
    against: the policy that win rates are against.
    temperature: at which responses are sampled.
    scored_by: the reward model whose scores of all policies are reported; where
      None, each policy is scored by the one that it learnt from, or else by the
      chain's first.
  """

  prompts: str = 'test_prompts'
  comparisons: str | None = None
  count: Count | None = None
  samples: Count = 2
  batch_size: Count = 256
  against: str = 'sft'
  temperature: Positive = 1.0
  scored_by: str | None = None


class Condition(Protocol):
  """What an answer is conditioned on: a reward to reach, attributes to have."""

  @property
  def text(self) -> str:
    """As the policy reads it, right before its response."""

  def warning(self, seen: Sequence[str]) -> str | None:
    """What is doubtful about asking this, given the texts trained on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Answering:
  """A way of answering with a trained policy, measured like a policy.

  Attributes:
    policy: the stage that trained it.
    condition: what its responses are conditioned on, or None.
    best_of: responses sampled for each that is given, which is the best by the
      reward model that scores the policy (`Evaluation.scored_by`).
    temperature: at which it samples; the evaluation's where None.
  """

  policy: str
  condition: Condition | None = None
  best_of: Count = 1
  temperature: Positive | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Experiment:
  """A chain of stages and its measure.

  Attributes:
    seed: of everything that is random.
    data: where the datasets come from.
    model: sizes of the policy, and of the trunks of reward model and critic.
    limits: of tokens in prompts and responses, and what happens beyond them.
    stages: by name, each after those it needs.
    evaluation: the measure.
    answering: ways of answering, by name, that are measured beside the policies
      that stages trained; one with a stage's name is measured in its place.
    contrasts: what is claimed, in words, and of which two policies: the one
      that is to be better, then the one that is to be worse.
    mesh: devices along each axis, as `sharding.make_mesh` takes it; by default
      all of them share the batch.
    title: a line for people.
  """

  seed: Seed
  data: Source
  model: TransformerConfig
  limits: Limits
  stages: Mapping[str, Stage | DatasetStage]
  evaluation: Evaluation = Evaluation()
  answering: Mapping[str, Answering] = dataclasses.field(default_factory=dict)
  contrasts: Mapping[str, tuple[str, str]] = dataclasses.field(
    default_factory=dict
  )
  mesh: Mapping[str, int] = dataclasses.field(
    default_factory=lambda: {'data': -1, 'fsdp': 1, 'tensor': 1}
  )
  title: str = 'Experiment'

  def __post_init__(self):
    done: set[str] = set()
    for name, stage in self.stages.items():
      for role, needed in dependencies(stage).items():
        if needed not in done:
          raise ExperimentError(
            f'stage {name!r} takes its {role} from {needed!r}, which is no '
            f'earlier stage; earlier are {", ".join(done) or "none"}'
          )
      for dataset in datasets(stage):
        if dataset in self.stages and dataset not in done:
          raise ExperimentError(
            f'stage {name!r} takes its data from {dataset!r}, which is no '
            f'earlier stage; earlier are {", ".join(done) or "none"}'
          )
      done.add(name)
    self._check_answering()
    scored_by = self.evaluation.scored_by
    rewards = producing(self.stages, 'reward')
    if scored_by is not None and scored_by not in rewards:
      raise ExperimentError(
        f'policies are to be scored by {scored_by!r}, and no stage of that '
        f'name trains a reward model; there are {", ".join(rewards) or "none"}'
      )
    if self.evaluation.against not in done:
      raise ExperimentError(
        f'win rates are against {self.evaluation.against!r}, and no stage has '
        f'that name; there are {", ".join(done)}'
      )
    policies = answerings(self)
    for claim, pair in self.contrasts.items():
      for name in pair:
        if name not in policies:
          raise ExperimentError(
            f'the contrast {claim!r} is about {name!r}, and no stage of that '
            f'name trains a policy; there are {", ".join(policies) or "none"}'
          )

  def _check_answering(self):
    policies = producing(self.stages, 'policy')
    for name, answering in self.answering.items():
      if answering.policy not in policies:
        raise ExperimentError(
          f'{name!r} answers with the policy {answering.policy!r}, and no '
          'stage of that name trains one; there are '
          f'{", ".join(policies) or "none"}'
        )
      if answering.best_of < 1:
        raise ExperimentError(
          f'{name!r} answers with the best of {answering.best_of}; 1 is the '
          'least'
        )
      if answering.temperature is not None and answering.temperature <= 0:
        raise ExperimentError(
          f'{name!r} answers at temperature {answering.temperature}; it must '
          'be above 0'
        )
      if name in self.stages and name != answering.policy:
        raise ExperimentError(
          f'{name!r} is a way of answering with {answering.policy!r} and also '
          'a stage; call it something else'
        )


def producing(
  stages: Mapping[str, Stage | DatasetStage], role: str
) -> dict[str, Stage]:
  """The stages that train this role ('policy', 'reward', …), in order."""
  return {
    name: stage
    for name, stage in stages.items()
    if isinstance(stage, Stage) and stage.produces == role
  }


def answerings(experiment: Experiment) -> dict[str, Answering]:
  """All that is measured, by name: every policy, and every way of answering."""
  plain = {
    name: Answering(policy=name)
    for name in producing(experiment.stages, 'policy')
  }
  return plain | dict(experiment.answering)


def datasets(stage: Stage | DatasetStage) -> tuple[str, ...]:
  """The datasets that a stage works on: its data, and what is beside it."""
  beside = getattr(stage, 'beside', None)
  return names(stage.data) + ((beside,) if beside else ())


def check_datasets(experiment: Experiment, source: Sequence[str]) -> None:
  """Refuses a stage whose dataset is not there.

  Args:
    experiment: whose stages are looked at.
    source: names of the source's datasets.

  Raises:
    ExperimentError: naming the stage, the dataset and those that there are.
  """
  there = [*source]
  for name, stage in experiment.stages.items():
    for dataset in datasets(stage):
      if dataset not in there:
        raise ExperimentError(
          f'stage {name!r} takes its data from {dataset!r}, and there is no '
          f'such dataset before it; there are {", ".join(there)}'
        )
    if isinstance(stage, DatasetStage):
      there.append(name)


def dependencies(stage: Stage | DatasetStage) -> dict[str, Any]:
  """The earlier stages whose parameters a stage needs, by role."""
  frozen = {}
  for role, source in stage.frozen.items():
    if isinstance(source, str):
      frozen[f'frozen {role}'] = source
    elif isinstance(source, Ensemble):
      for number, member in enumerate(source.members):
        frozen[f'frozen {role} {number}'] = member
  if isinstance(stage, DatasetStage):
    return ({'policy': stage.policy} if stage.policy else {}) | frozen
  return {f'starting {r}': s for r, s in stage.start.items()} | frozen
