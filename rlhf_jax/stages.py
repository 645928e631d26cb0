"""What a method says of its place in an experiment: stages, as data."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rlhf_jax.types import Reward


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
    produces: the role of what is trained: 'policy' or 'reward'.
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
  produces: str = 'policy'
  log_every: int = 10
  checkpoint_every: int = 200


class DatasetStage(NamedTuple):
  """A stage of an experiment that writes a dataset.

  Attributes:
    write: (policy_params, prompts: Prompts, records: Sequence[Prompt], key, *,
      models, decode, config) -> a record for each prompt, or None for one
      without. `decode` turns Rollouts into B lists of K texts.
    config: the method's; it says how many prompts, and how many at a time.
    data: name of the dataset of prompts.
    policy: the earlier stage that answers them.
  """

  write: Callable
  config: Any
  data: str
  policy: str
