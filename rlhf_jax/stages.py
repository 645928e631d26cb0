"""What a method says of its place in an experiment: stages, as data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlhf_jax.types import Comparison, Reward


class Stage(NamedTuple):
  """A stage of an experiment that trains.

  Attributes:
    init: (key, start, *, models, config) -> params; `start` holds, by role, the
      parameters that `start` below names.
    update: (state, frozen, batch, key, *, models, optimizer, config) ->
      state, metrics.
    config: the method's; it says how long, and with which optimizer.
    data: name of a dataset: the source's own, or an earlier stage that wrote
      one.
    start: the earlier stage whose parameters each role starts from.
    frozen: the earlier stage whose parameters each role keeps; a Reward in
      place of a stage scores the decoded text.
    collect: (params, frozen, prompts, key, *, models, config) -> batch,
      metrics; for methods that learn from their own samples.
    beforehand: (frozen, batch, *, models, config) -> [B, K] log-probs of the
      frozen reference, computed once for every example and kept beside the
      data, so that no step computes them again, or None where none are read.
      Without it each step computes them.
    curriculum: which examples come when, a `data.curriculum.Curriculum`; all of
      them all the time where None.
    produces: the role of what is trained: 'policy', 'reward' or 'ranker'.
    log_every: steps between two rows of metrics.
    checkpoint_every: steps between two checkpoints; the last step has one too.
  """

  init: Callable
  update: Callable
  config: Any
  data: str
  start: Mapping[str, str] = {}
  frozen: Mapping[str, str | Reward] = {}
  collect: Callable | None = None
  beforehand: Callable | None = None
  curriculum: Any = None
  produces: str = 'policy'
  log_every: int = 10
  checkpoint_every: int = 200


class Tools(NamedTuple):
  """What a dataset is written with, for one batch of B records.

  Attributes:
    sample: (samples, sampling) -> B lists of so many responses by the policy.
    score: comparisons -> the frozen reward's scores of their responses, a list
      of [K] arrays in the comparisons' order; K may differ.
    prefer: pairs -> [N] log-odds that the frozen ranker prefers the first
      response of each to the second.
    seeds: [B] ints for whatever else is random, one a record.
  """

  sample: Callable[..., list[list[str]]]
  score: Callable[[Sequence[Comparison]], list[np.ndarray]]
  prefer: Callable[[Sequence[Comparison]], np.ndarray]
  seeds: Sequence[int]


class DatasetStage(NamedTuple):
  """A stage of an experiment that writes a dataset of comparisons.

  Attributes:
    write: (records, tools, *, config) -> Comparisons, any number of them, made
      of B records of the dataset `data`.
    config: the method's; it says how many comparisons (`count`), and how many
      records at a time (`batch_size`).
    data: name of the dataset whose prompts are answered: the source's own, or
      an earlier stage that wrote one.
    policy: the earlier stage that answers them; None where nobody has to.
    frozen: the earlier stage, by role ('reward', 'ranker'), that judges; a
      Reward in place of the former scores the text.
  """

  write: Callable
  config: Any
  data: str
  policy: str | None = None
  frozen: Mapping[str, str | Reward] = {}
