"""What to set where a stage does not fit, each thing tried."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from rlhf_jax import sharding
from rlhf_jax.experiment import device_rows
from rlhf_jax.experiment.definition import Experiment
from rlhf_jax.experiment.device_rows import RowsError
from rlhf_jax.planning.stage_plan import StagePlan
from rlhf_jax.stages import Stage

KEPT = 'jax.checkpoint_policies.nothing_saveable'


@dataclasses.dataclass(frozen=True)
class Trial:
  """A setting that was tried, on top of those before it that helped.

  Attributes:
    assignments: as `--set` takes them.
    bytes: at the busiest moment; None where it cannot be.
    fits: whether that is little enough.
    why: what it cannot be for, or ''.
  """

  assignments: Sequence[str]
  bytes: float | None
  fits: bool
  why: str = ''


def tried(
  experiment: Experiment,
  name: str,
  chips: int,
  before: float,
  attempt: Callable[[Sequence[str]], StagePlan],
) -> Iterator[Trial]:
  """Tries one setting after the other, those that helped kept, until it fits.

  Args:
    experiment: with the stage.
    name: of the stage that does not fit.
    chips: how many there are.
    before: bytes at its busiest moment.
    attempt: what is set -> the stage's plan with these.
  """
  kept: list[str] = []
  for assignments in settings(experiment, name, chips):
    fields = {each.partition('=')[0] for each in assignments}
    others = [k for k in kept if k.partition('=')[0] not in fields]
    try:
      found = attempt([*others, *assignments])
    except RowsError as error:
      yield Trial(assignments, None, False, str(error))
      continue
    trial = Trial(assignments, found.busiest.bytes, bool(found.fits))
    yield trial
    if trial.bytes < before:
      kept, before = [*others, *assignments], trial.bytes
    if trial.fits:
      return


def settings(
  experiment: Experiment, name: str, chips: int
) -> Iterator[list[str]]:
  """What may help, what changes least first; each as `--set` takes it.

  What the stage, the devices or the model's heads do not divide into is left
  out, and what is set already.
  """
  stage: Stage = experiment.stages[name]
  model, limits = experiment.model, experiment.limits
  sizes = sharding.mesh_sizes(experiment.mesh, chips)
  data, fsdp, tensor = sizes
  for more in (2, 4, 8):
    parts = stage.config.micro_batches * more
    if _divides(experiment, name, sizes, parts):
      yield [f'stages.{name}.config.micro_batches={parts}']
  if data > 1:
    yield _mesh(1, data * fsdp, tensor)
  if model.compute_dtype != 'bfloat16':
    yield ['model.compute_dtype=bfloat16']
  if model.remat is None:
    yield [f'model.remat={KEPT}']
  if model.param_dtype != 'bfloat16':
    yield ['model.param_dtype=bfloat16']
  for part in (2, 4):
    if limits.max_response_tokens >= part:
      shorter = limits.max_response_tokens // part
      yield [f'limits.max_response_tokens={shorter}']
  for more in (2, 4, 8):
    if (data * fsdp) % more == 0 and model.kv_heads % (tensor * more) == 0:
      yield _mesh(1, data * fsdp // more, tensor * more)


def _divides(
  experiment: Experiment, name: str, sizes: Sequence[int], parts: int
) -> bool:
  """Whether a stage can be in so many micro-batches, each shared evenly."""
  stage, kv_heads = experiment.stages[name], experiment.model.kv_heads
  mesh = dict(zip(sharding.AXES, sizes, strict=True))
  try:
    config = dataclasses.replace(stage.config, micro_batches=parts)
    cut = stage._replace(config=config)
    device_rows.check(name, cut, mesh, kv_heads=kv_heads)
  except ValueError:
    return False
  return True


def _mesh(*sizes: int) -> list[str]:
  named: Mapping[str, int] = dict(zip(sharding.AXES, sizes, strict=True))
  return [f'mesh.{axis}={n}' for axis, n in named.items()]
