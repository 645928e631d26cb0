"""Whether the rows that stages learn from divide over the devices.

Rows that do not are split over none: then every device computes all of them, in
silence, in as many times the memory. Those that are ours to choose, of what is
sampled, scored or measured, are rounded up (`datasets.Data.batch`).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from rlhf_jax.experiment.validation import ExperimentError
from rlhf_jax.stages import AnyStage, Stage


def check(stages: Mapping[str, AnyStage], devices: int) -> None:
  """Refuses stages whose rows the devices cannot share evenly.

  Args:
    stages: by name.
    devices: that a batch is split over, as of `sharding.batch_devices`.

  Raises:
    ExperimentError: naming the setting, and the nearest sizes that fit.
  """
  for name, stage in stages.items():
    if isinstance(stage, Stage):
      for field, value, unit, what in _needs(stage.config, devices):
        if value % unit:
          lower, upper = value // unit * unit, -(-value // unit) * unit
          fits = f'{lower} or {upper}' if lower else str(upper)
          raise ExperimentError(
            f'stages.{name}.config.{field} is {value}, and {what} does not '
            f'divide over {devices} devices (mesh.data × mesh.fsdp); make it '
            f'{fits}'
          )


def _needs(config: Any, devices: int) -> Iterator[tuple[str, int, int, str]]:
  """(field, its value, what must divide it, what is split) of a config."""
  parts = getattr(config, 'micro_batches', 1)
  rows = config.batch_size
  cut = f'each of its {parts} micro-batches' if parts > 1 else 'a batch'
  yield 'batch_size', rows, devices * parts, cut
  if hasattr(config, 'extra_batch_size'):
    extra = config.extra_batch_size
    yield 'extra_batch_size', extra, devices * parts, cut
  if hasattr(config, 'minibatches'):
    samples = config.responses // rows
    unit = devices * parts * config.minibatches
    # So many prompts have a number of responses that divides.
    prompts = unit // math.gcd(unit, samples)
    steps = f'{config.minibatches * parts} parts of a round'
    yield 'batch_size', rows, prompts, f'each of the {steps}'
