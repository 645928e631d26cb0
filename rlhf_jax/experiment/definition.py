"""An experiment as data: what is trained, on what, and how it is judged."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Protocol

from rlhf_jax import sharding
from rlhf_jax.data.limits import Limits
from rlhf_jax.data.sources import Corpus
from rlhf_jax.evaluation.judges import Judge
from rlhf_jax.experiment import source_validation, validation
from rlhf_jax.experiment.errors import ExperimentError as ExperimentError
from rlhf_jax.models import TransformerConfig
from rlhf_jax.stages import (
  AnyStage,
  ImplicitReward,
  Pretrained,
  folder_of,
  members,
  name_of,
  producing,
)
from rlhf_jax.types import Comparison, Prompt, Reward
from rlhf_jax.types.calls import Called
from rlhf_jax.types.rules import Count, Positive, Seed
from rlhf_jax.types.values import checked

# (N prompts, N responses) -> comparisons of these, the better first.
SamplePairs = Callable[[Sequence[Prompt], Sequence[str]], Sequence[Comparison]]


class Source(Protocol):
  """Where an experiment's data comes from: a frozen dataclass of settings."""

  def fingerprint(self) -> str:
    """Changes when the settings, or the files that are read, do."""

  def load(self, folder: pathlib.Path) -> Corpus:
    """Reads the data; what takes long to make is kept in `folder`.

    The folder is the caller's alone meanwhile.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class FittedReward:
  """A reward of text, without a network, that is fitted where all is measured.

  What it knows of held-out pairs is what comparisons teach whoever can read
  them: a bound for reward models of the same ones.

  Attributes:
    fit: comparisons -> (prompts, responses) -> scores [N].
    data: the dataset of comparisons, or several.
  """

  fit: Callable[[Sequence[Comparison]], Reward]
  data: str | tuple[str, ...] = 'preferences'


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Evaluation:
  """How the policies of an experiment are measured at its end.

  Attributes:
    prompts: dataset of held-out prompts.
    comparisons: dataset of held-out pairs for the reward models, or {stage or
      fitted reward: its own}, or None where pairs come from the policies
      themselves, ranked by the gold reward.
    demonstrations: dataset of held-out demonstrations, of which all policies
      have a loss, or None.
    held_out: how many of the comparisons, and of the demonstrations; all of
      them where None.
    count: how many of the prompts; all of them where None.
    samples: responses to each prompt.
    batch_size: prompts answered at a time.
    against: the policy that win rates are against.
    temperature: at which responses are sampled.
    scored_by: the reward whose scores of all policies are reported, of a stage
      or an ImplicitReward; where None, each policy is scored by the one that it
      learnt from, or else by the first of all.
    judge: (prompts, responses, others' responses) -> credits [N] of the former
      in [0, 1], an `evaluation.Judge`: who decides win rates and claims; where
      None, the gold reward does, or else the scores.
    sample_pairs: {name: (prompts, responses) -> comparisons, the better first}:
      further pairs that reward models are measured on, made of each policy's
      samples, of which a prompt has `samples`, one after the other.
    preferred_by: a Judge whose credits are the chances that people prefer a
      response, which reward models' own chances are held to; none where None.
    fitted_rewards: by name, measured beside the reward models.
  """

  prompts: str = 'test_prompts'
  comparisons: str | Mapping[str, str] | None = None
  demonstrations: str | None = None
  held_out: Count | None = None
  count: Count | None = None
  samples: Count = 2
  batch_size: Count = 256
  against: str = 'sft'
  temperature: Positive = 1.0
  scored_by: str | ImplicitReward | None = None
  judge: Annotated[Judge, Called(3)] | None = None
  sample_pairs: Mapping[str, SamplePairs] = dataclasses.field(
    default_factory=dict
  )
  preferred_by: Annotated[Judge, Called(3)] | None = None
  fitted_rewards: Mapping[str, FittedReward] = dataclasses.field(
    default_factory=dict
  )

  def pairs_of(self, stage: str) -> str | None:
    """The dataset of held-out pairs that a stage is measured on, if any."""
    if isinstance(self.comparisons, Mapping):
      return self.comparisons.get(stage)
    return self.comparisons


class Condition(Protocol):
  """What an answer is conditioned on: a reward to reach, attributes to have."""

  @property
  def text(self) -> str:
    """As the policy reads it, right before its response."""

  def warning(self, seen: Sequence[str]) -> str | None:
    """What is doubtful about asking this, given the texts trained on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class PolicyVariant:
  """A policy, asked in a way of its own, and measured like others.

  Attributes:
    policy: the stage that trained it, or the folder of a model as it is.
    condition: what its responses are conditioned on, or None.
    best_of: responses sampled for each that is given, which is the best by the
      reward model that scores the policy (`Evaluation.scored_by`).
    temperature: at which it samples; the evaluation's where None.
  """

  policy: str | Pretrained
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
    model: of every role that a stage names no model of its own for.
    limits: of tokens in prompts and responses, and what happens beyond them.
    stages: by name, each after those it needs.
    evaluation: the measure.
    variants: of policies, by name, that are measured along with the stages'
      as they are; one with a stage's name is measured in its place.
    contrasts: what is claimed, in words, and of which two policies: the one
      that is to be better, then the one that is to be worse.
    mesh: devices along each axis, as `sharding.make_mesh` takes it; by default
      all of them share the batch.
    max_rows: responses in the models at a time, where datasets are written and
      policies measured; memory follows it, and results do not. What a stage
      learns from follows its own micro_batches.
    title: a line for people.
    background: what is known of the claims beyond this run, a few sentences,
      which its report and its last lines have too.
  """

  seed: Seed
  data: Source
  model: TransformerConfig
  limits: Limits
  stages: Mapping[str, AnyStage]
  evaluation: Evaluation = Evaluation()
  variants: Mapping[str, PolicyVariant] = dataclasses.field(
    default_factory=dict
  )
  contrasts: Mapping[str, tuple[str, str]] = dataclasses.field(
    default_factory=dict
  )
  mesh: Mapping[str, int] = dataclasses.field(
    default_factory=lambda: {'data': -1, 'fsdp': 1, 'tensor': 1}
  )
  max_rows: Count = 4096
  title: str = 'Experiment'
  background: str = ''

  def __post_init__(self):
    validation.check_stages(self.stages)
    try:
      sharding.check_shape(self.mesh)
    except ValueError as e:
      raise ExperimentError(str(e)) from e
    policies = producing(self.stages, 'policy')
    if not (policies or self.variants):
      raise ExperimentError(
        'no stage trains a policy, so there is nothing to measure'
      )
    for name, variant in self.variants.items():
      who = f'{name!r} answers with the policy'
      if folder_of(variant.policy) is None:
        _check_trained(who, variant.policy, policies, 'policy')
      if name in self.stages and name != variant.policy:
        raise ExperimentError(
          f'{name!r} is a variant of {variant.policy!r} and also '
          'a stage; call it something else'
        )
    scored_by = self.evaluation.scored_by
    if isinstance(scored_by, ImplicitReward):
      source_validation.check_reward(
        'evaluation.scored_by', scored_by, self.stages
      )
    elif scored_by is not None:
      rewards = producing(self.stages, 'reward')
      who = 'policies are to be scored by'
      _check_trained(who, scored_by, rewards, 'reward model')
    for name in self.evaluation.fitted_rewards:
      if name in self.stages:
        raise ExperimentError(
          f'evaluation.fitted_rewards has {name!r}, which is a stage too; call '
          'it something else'
        )
    if isinstance(self.evaluation.comparisons, Mapping):
      rewards = {**self.stages, **self.evaluation.fitted_rewards}
      for name in self.evaluation.comparisons:
        who = 'held-out pairs are for'
        _check_trained(who, name, rewards, 'reward model')
    measured = policy_variants(self)
    against = self.evaluation.against
    _check_trained('win rates are against', against, measured, 'policy')
    for claim, pair in self.contrasts.items():
      for name in pair:
        who = f'the contrast {claim!r} is about'
        _check_trained(who, name, measured, 'policy')


def _check_trained(who, name, trained, what):
  """Refuses a name that is none of what stages trained."""
  if name not in trained:
    raise ExperimentError(
      f'{who} {name!r}, and no stage of that name trains a {what}; there are '
      f'{", ".join(trained) or "none"}'
    )


def implicit_rewards(experiment: Experiment) -> dict[str, ImplicitReward]:
  """The policies that are read as rewards, by the name of stage or folder.

  Those that stages keep, and the one that policies are scored by; of several
  with one policy the last.
  """
  kept = [stage.frozen.get('reward') for stage in experiment.stages.values()]
  found = {}
  for reward in (*kept, experiment.evaluation.scored_by):
    for member in members(reward):
      if isinstance(member, ImplicitReward):
        found[name_of(member.policy)] = member
  return found


def reference_of(experiment: Experiment) -> str | Pretrained:
  """The stage, or the folder, that win rates and KL are against."""
  return policy_variants(experiment)[experiment.evaluation.against].policy


def policy_variants(experiment: Experiment) -> dict[str, PolicyVariant]:
  """All that is measured, by name: every policy, and every variant of one.

  Models as they came are the first.
  """
  plain = {
    name: PolicyVariant(policy=name)
    for name in producing(experiment.stages, 'policy')
  }
  given = {
    name: variant
    for name, variant in experiment.variants.items()
    if folder_of(variant.policy) is not None
  }
  return given | plain | dict(experiment.variants)
