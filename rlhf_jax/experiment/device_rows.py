"""Whether the rows of a stage divide over the devices that share a batch.

Rows that do not are not split: every device then computes all of them. What is
ours to choose, rows that are sampled, scored or measured, is rounded up, in
`datasets.Data.batch`.
"""

import math

from rlhf_jax import sharding
from rlhf_jax.stages import Stage


class RowsError(ValueError):
  """Rows that the devices cannot share evenly."""


def check(name: str, stage: Stage, devices: int) -> None:
  """Refuses a stage whose rows do not divide over the devices.

  Args:
    name: of the stage.
    stage: one that trains. Of a config that samples, `fewest_sampled` says how
      many responses to a prompt, `responses` how many a round learns from, and
      `shared_field` which field counts its prompts, if not batch_size.
    devices: that share a batch: those along `data` and `fsdp`.

  Raises:
    RowsError: naming the nearest sizes that do.
  """
  config = stage.config
  cuts = {
    words: n
    for words in ('minibatches', 'micro_batches')
    if (n := getattr(config, words, 1)) > 1
  }
  field = getattr(config, 'shared_field', 'batch_size')
  size, samples = getattr(config, field), getattr(config, 'samples', 1)
  sampled = getattr(config, 'fewest_sampled', 1)
  learnt = getattr(config, 'responses', size) // size
  step = math.lcm(
    sharding.fewest(devices, sampled),
    sharding.fewest(devices * math.prod(cuts.values()), learnt),
  )
  if size % step:
    _refuse(name, field, size, step, devices, cuts, samples)
  if stage.extra_data is not None:
    parts = getattr(config, 'micro_batches', 1)
    step, size = devices * parts, config.extra_batch_size
    if size % step:
      _refuse(name, 'extra_batch_size', size, step, devices, cuts, 1)


def _refuse(name, field, size, step, devices, cuts, samples):
  setting = f'stages.{name}.config.{field}'
  said = [f'{samples} responses each'] * (samples > 1)
  said += [f'{words} {n}' for words, n in cuts.items()]
  fewer = size // step * step
  sizes = f'{fewer} or {fewer + step}' if fewer else f'{step}'
  how = f' ({", ".join(said)})' if said else ''
  raise RowsError(
    f'{setting} is {size}{how}, and '
    f'{devices} devices (mesh.data x mesh.fsdp) share what is computed at once '
    f'only if it is a multiple of {step}; otherwise each of them computes all '
    f'of it: set {setting} to {sizes}, or mesh.fsdp lower and mesh.tensor '
    'higher'
  )
