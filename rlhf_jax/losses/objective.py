"""What a learner needs to know of an objective before it calls it.

An objective's positional parameters name the arrays that it reads, and its
keyword-only ones are options (`beta` and the like), bound by functools.partial
where the objective is chosen. A learner offers what it can compute, and the
objective takes what it names; a reference is computed only for one that names
`reference_…` or `…_log_ratios`.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping

import chex
import jax.numpy as jnp

from rlhf_jax.types.rules import MicroBatches
from rlhf_jax.types.values import checked

Objective = Callable[..., chex.Array]


class MissingArraysError(ValueError):
  """An objective names arrays that the stage, or its data, has not."""


@dataclasses.dataclass(frozen=True, kw_only=True)
@checked
class Config:
  """Which objective is minimised, and in how many parts.

  Attributes:
    objective: from those of the learner's `ARRAYS` that its parameters
      name to losses [B], its options bound.
    micro_batches: parts that a batch is cut into, to save memory.
  """

  objective: Objective
  micro_batches: MicroBatches = 1

  def __post_init__(self):
    refuse_parts(self.objective, self.micro_batches)


def reads(objective: Objective) -> tuple[str, ...]:
  """The arrays that an objective names, in its order."""
  bound = getattr(objective, 'keywords', {})
  return tuple(
    name
    for name, parameter in inspect.signature(objective).parameters.items()
    if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and name not in bound
  )


def of_reference(names: Iterable[str]) -> tuple[str, ...]:
  """Those of the named arrays that need a reference model."""
  return tuple(
    name
    for name in names
    if name.startswith('reference_') or name.endswith('_log_ratios')
  )


def evaluate(
  objective: Objective, arrays: Mapping[str, chex.Array]
) -> chex.Array:
  """Calls an objective with those of the arrays that it names.

  Raises:
    MissingArraysError: it names one that is not there.
    ValueError: it lacks an option.
  """
  wanted = reads(objective)
  missing = [name for name in wanted if name not in arrays]
  if missing:
    raise MissingArraysError(
      f'{_name(objective)} reads {", ".join(missing)}, and this stage has only '
      f'{", ".join(arrays)}; freeze a reference, or choose data with what is '
      'missing, or another objective'
    )
  unbound = [
    name
    for name, parameter in inspect.signature(objective).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
    and parameter.default is parameter.empty
  ]
  if unbound:
    raise ValueError(
      f'{_name(objective)} needs a value for {", ".join(unbound)}: bind it, as '
      f'in functools.partial({_name(objective)}, {unbound[0]}=…), or set '
      f'stages.<stage>.config.objective.{unbound[0]}'
    )
  return objective(**{name: arrays[name] for name in wanted})


def losses_of(
  objective: Objective,
  arrays: Mapping[str, chex.Array],
  shape: tuple[int, ...],
  each: str,
) -> chex.Array:
  """`evaluate`, with a check that the losses have the shape expected.

  Args:
    objective, arrays: as of `evaluate`.
    shape: of the losses.
    each: what has one loss, in words: 'a pair'.

  Raises:
    ValueError: they have another shape.
  """
  losses = jnp.asarray(evaluate(objective, arrays))
  if losses.shape != shape:
    raise ValueError(
      f'{_name(objective)} gave an array of shape {losses.shape}; it owes one '
      f'loss {each}, shape {shape}'
    )
  return losses


def coupled(objective: Objective) -> Objective:
  """Marks an objective in which the loss of one example depends on others.

  A batch for it must not be cut into parts, whose losses would be others.
  """
  objective.couples_examples = True
  return objective


def couples(objective: Objective) -> bool:
  """Whether the loss of one example depends on the others of its batch."""
  while isinstance(objective, functools.partial):
    objective = objective.func
  return getattr(objective, 'couples_examples', False)


def refuse_parts(objective: Objective, micro_batches: int) -> None:
  """Refuses to cut the batch of a coupled objective.

  Raises:
    ValueError: saying so.
  """
  if micro_batches > 1 and couples(objective):
    raise ValueError(
      f'{_name(objective)} compares the examples of a batch with each other, '
      f'so the batch cannot be cut into {micro_batches} micro-batches; set '
      'micro_batches to 1'
    )


def _name(objective):
  while isinstance(objective, functools.partial):
    objective = objective.func
  return getattr(objective, '__name__', repr(objective))
