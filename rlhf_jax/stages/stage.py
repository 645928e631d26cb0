"""The stages of an experiment, as data, and what they need of each other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np

from rlhf_jax.stages.sources import Frozen, Pretrained, Start, sources
from rlhf_jax.types import (
  Comparison,
  Mean,
  Params,
  Prompt,
  Record,
  Sampled,
)
from rlhf_jax.types.calls import Called
from rlhf_jax.types.rules import Count


def names(data: str | tuple[str, ...]) -> tuple[str, ...]:
  """The datasets that a stage's `data` names."""
  return (data,) if isinstance(data, str) else tuple(data)


class Stage(NamedTuple):
  """A stage of an experiment that trains.

  Attributes:
    init: (key, start, *, models, config) -> {role: params} of what is trained;
      `start` holds, by role, the parameters that `start` below names.
    update: (state, frozen, batch, key, *, models, optimizer, config) ->
      state, metrics.
    loss: (params, frozen, batch, key, *, models, config) -> terms, metrics;
      what `update` descends, to be measured on held-out pairs; None where it
      is not.
    config: the method's; it says how long, and with which optimizer.
    data: name of a dataset: the source's own, or an earlier stage that wrote
      one; of several, their records one after the other.
    start: the earlier stage whose parameters each role starts from, a
      Pretrained model, or a Fresh one; a role that is not named starts afresh,
      a policy at the experiment's size, a critic at the policy's.
    frozen: likewise what each role keeps; a reward may be an ImplicitReward,
      an Ensemble, or a Reward, which scores the decoded text; a reference of
      None is the stage's own policy before its first step.
    collect: (state, frozen, prompts, key, *, models, config) -> batch, metrics;
      for methods that learn from their own samples.
    precompute: (frozen, batch, *, models, config) -> [B, K] log-probs of the
      frozen reference, computed once for every example and kept beside the
      data, so that no step computes them again, or None where none are read.
      Without it each step computes them.
    features: (params, batch, *, models, config) -> [B, K, D], what is read of
      responses by parameters at the start that the stage never moves: computed
      once for every example and kept beside the data, so that a step reads
      `batch.features` alone. `frozen['features']` says how they spread.
      None for stages that read tokens.
    order: in which order an epoch goes through the examples, a function of
      `data.orders`; any where None. Not for prompts that are sampled from, nor
      for losses that compare the examples of a batch.
    curriculum: which examples come when, a `data.curriculum.Curriculum`; all of
      them all the time where None.
    mixture: how much of each dataset of `data` a batch has, a
      `data.mixtures.Mixture`; as much as there is where None.
    lora: a `models.LoRA`, with which adapters and heads alone are trained of
      what starts from given parameters; None to train all of it.
    reading: what the head of the model that scores reads of a whole row, a
      `models.Reading`, in this stage and wherever what it trains scores; where
      None, what it starts from is read as it was, and a fresh one at the last
      token.
    extra_data: name of a dataset of which every step has a batch too, as in
      `types.WithExtra`; config.extra_batch_size says of how many. None for
      none.
    reads: the kinds of records that `data` may hold; any where it is empty.
    reads_extra: likewise of `extra_data`.
    least_responses: how many every Comparison of `data` has at least.
    produces: what others may take it for: 'policy', 'reward', 'ranker' or
      'attributes'; policies and rewards are measured at the end. Any other word
      is for what is only started from.
    alarm: (row of metrics, progress in [0, 1]) -> a sentence where something
      looks wrong, or None; printed once, and kept with the results. NaN stands
      for every metric that is not finite.
    log_every: steps between two rows of metrics.
    checkpoint_every: steps between two checkpoints; the last step has one too.
    keep_checkpoint: whether the last checkpoint, the optimizer's state with it,
      stays once the stage is done; otherwise the parameters alone do.
  """

  init: Annotated[Callable, Called(2, ('models', 'config'))]
  update: Annotated[Callable, Called(4, ('models', 'optimizer', 'config'))]
  config: Any
  data: str | tuple[str, ...]
  start: Mapping[str, Start | None] = {}
  frozen: Mapping[str, Frozen | None] = {}
  loss: Annotated[Callable, Called(4, ('models', 'config'))] | None = None
  collect: Annotated[Callable, Called(4, ('models', 'config'))] | None = None
  precompute: Annotated[Callable, Called(2, ('models', 'config'))] | None = None
  features: Annotated[Callable, Called(2, ('models', 'config'))] | None = None
  order: Callable[[Any], np.ndarray] | None = None
  curriculum: Any = None
  mixture: Any = None
  lora: Any = None
  reading: Annotated[Callable, Called(2)] | None = None
  extra_data: str | None = None
  reads: tuple[type, ...] = ()
  reads_extra: tuple[type, ...] = ()
  least_responses: Count = 2
  produces: str = 'policy'
  alarm: Callable[[Mapping[str, float], float], str | None] | None = None
  log_every: Count = 10
  checkpoint_every: Count = 200
  keep_checkpoint: bool = False


# The roles that language models play; what scores has a head on a trunk.
POLICIES = ('policy', 'reference')
# What plays a role where nothing was trained for that role itself: a reference
# is a policy, and whatever scores may begin as a reward model.
PLAYED_BY = {
  'reference': 'policy',
  'critic': 'reward',
  'ranker': 'reward',
  'attributes': 'reward',
}


def role_of(words: str) -> str:
  """The role of 'starting policy', 'frozen reward 1', "reward's policy"."""
  return [word for word in words.split() if not word.isdigit()][-1]


def playing(params: Params, role: str) -> Params:
  """What of params, by role, is taken for a role: that of `part`."""
  return params[part(params, role)]


def part(params: Params, role: str) -> str:
  """Which of params, by role, is taken for a role: its own, or `PLAYED_BY`.

  Args:
    params: what a stage trains or a folder holds, by the roles it plays there.
    role: that is to be played; of several of one kind, as 'reward 1', any.

  Raises:
    ValueError: there is neither.
  """
  own = role_of(role)
  found = own if own in params else PLAYED_BY.get(own)
  if found not in params:
    raise ValueError(
      f'it has the parameters of {", ".join(params)}, and none that play a '
      f'{own}; name another stage or folder'
    )
  return found


class Queries(NamedTuple):
  """What a dataset is written with, for one batch of B records.

  Attributes:
    sample: (samples=, sampling=, ended=False, prompts=None) -> B lists of so
      many responses, types.Response each, by the policy to the records'
      prompts, or to B others; with `ended` only those that closed with
      end-of-text, so fewer or none.
    draw: (samples=, sampling=) -> B Sampled of so many responses, with all that
      is known of them; with scores where a reward is frozen.
    score: comparisons -> the frozen reward's scores of their responses, a list
      of [K] arrays in the comparisons' order; K may differ, and a response that
      could not be scored has NaN.
    prefer: pairs -> [N] log-odds that the frozen ranker prefers the first
      response of each to the second.
    rate: (prompts, responses) -> [N, M] ratings by the frozen attribute model.
    embed: (prompts, responses) -> [N, D] hidden states of the frozen reward,
      averaged over the response.
    logps: (prompts, responses) -> [N] log-probs under the policy, in nats, of
      responses as they are, without an end; prompts may be of any length.
    response_logps: (comparisons, role) -> log-probs of their whole responses,
      end-of-text included, in nats, under the policy (role 'policy') or one
      that is frozen ('reference'); a list of [K] arrays.
    seeds: [B] ints for whatever else is random, one a record.
  """

  sample: Callable[..., list[list[str]]]
  draw: Callable[..., list[Sampled]]
  score: Callable[[Sequence[Comparison]], list[np.ndarray]]
  prefer: Callable[[Sequence[Comparison]], np.ndarray]
  rate: Callable[[Sequence[Prompt], Sequence[str]], np.ndarray]
  embed: Callable[[Sequence[Prompt], Sequence[str]], np.ndarray]
  logps: Callable[[Sequence[Prompt], Sequence[str]], np.ndarray]
  response_logps: Callable[[Sequence[Comparison], str], list[np.ndarray]]
  seeds: Sequence[int]


class RecordBatch(list):
  """The records that a dataset stage made of a batch, with facts about them.

  Attributes:
    facts: numbers and words by name, which the stage's done.json keeps; of one
      name in several batches, the last, or of Means the mean over all.
  """

  def __init__(
    self, records: Iterable[Record], facts: Mapping[str, float | str | Mean]
  ):
    super().__init__(records)
    self.facts = facts

  @property
  def records(self) -> list[Record]:
    """The records alone."""
    return list(self)


class DatasetStage(NamedTuple):
  """A stage of an experiment that builds a dataset.

  Attributes:
    build: (records, queries, *, config) -> records of one kind, any number of
      them, made of B records of the dataset `data`; or these as `RecordBatch`.
    config: the method's; it says how many records are written (`count`; None
      for what comes of going over the data once), and how many of the data's
      records make a batch (`batch_size`; None for all of them).
    data: name of the dataset that is worked on: the source's own, or an earlier
      stage that wrote one; of several, their records one after the other.
    policy: the earlier stage that answers them, or a Pretrained one; None
      where nobody has to.
    frozen: likewise, by role, what judges ('reward', 'ranker', 'attributes') or
      is compared with the policy ('reference'); a reward may be an
      ImplicitReward, an Ensemble, or a Reward, which scores the text.
    reads: the kinds of records that `data` may hold; any where it is empty.
    builds: the kind of record that it gives; None where it is not known.
  """

  build: Annotated[Callable, Called(2, ('config',))]
  config: Any
  data: str | tuple[str, ...]
  policy: str | Pretrained | None = None
  frozen: Mapping[str, Frozen] = {}
  reads: tuple[type, ...] = ()
  builds: type | None = None


AnyStage = Stage | DatasetStage


def producing(stages: Mapping[str, AnyStage], role: str) -> dict[str, Stage]:
  """The stages that train this role ('policy', 'reward', …), in order."""
  return {
    name: stage
    for name, stage in stages.items()
    if isinstance(stage, Stage) and stage.produces == role
  }


def datasets(stage: AnyStage) -> tuple[str, ...]:
  """The datasets that a stage works on: its data, and its extra data."""
  extra = getattr(stage, 'extra_data', None)
  return names(stage.data) + (() if extra is None else (extra,))


def parameter_sources(stage: AnyStage) -> dict[str, Start]:
  """{'starting policy': where from} of all parameters that it is given.

  Those that it keeps as they are go by 'frozen reward', or as `sources` has it
  where there are several; who answers by 'policy'.
  """
  if isinstance(stage, DatasetStage):
    found = {'policy': stage.policy}
  else:
    found = {f'starting {role}': of for role, of in stage.start.items()}
  for role, source in stage.frozen.items():
    found |= sources(source, f'frozen {role}')
  return {role: source for role, source in found.items() if source is not None}
