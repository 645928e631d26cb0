"""Which stages may learn from batches whose examples are of like length."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rlhf_jax.data import orders
from rlhf_jax.losses import objective as objectives
from rlhf_jax.stages import AnyStage, Stage


def ordered(
  stages: Mapping[str, AnyStage],
  order: Callable[[orders.Epoch], np.ndarray] = orders.of_like_length,
) -> dict[str, AnyStage]:
  """The stages, those in this order whose batches need not be random."""
  return {
    name: stage._replace(order=order)
    if isinstance(stage, Stage) and reason_for_random(stage) is None
    else stage
    for name, stage in stages.items()
  }


def reason_for_random(stage: Stage) -> str | None:
  """Why a stage's batches have to be drawn at random; None where they need not.

  Up to the order of its steps, others learn the same from examples that are
  alike.
  """
  if stage.collect is not None:
    return 'it samples responses to its prompts'
  for name in ('curriculum', 'mixture'):
    if getattr(stage, name) is not None:
      return f'its {name} says which examples come when'
  fields: Mapping[str, Any] = getattr(stage.config, '__dict__', {})
  for name, part in fields.items():
    if callable(part) and objectives.couples(part):
      return f'config.{name} compares the examples of a batch'
  return None
