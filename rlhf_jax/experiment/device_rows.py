"""Whether the rows of a stage divide over the devices that share a batch.

Rows that do not are not split: every device then computes all of them. What is
ours to choose, rows that are sampled, scored or measured, is rounded up, in
`datasets.Data.batch`.
"""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from rlhf_jax import sharding
from rlhf_jax.stages import Stage


class RowsError(ValueError):
  """Rows that the devices cannot share evenly."""


class Rows(NamedTuple):
  """Rows of a stage that its devices share.

  Attributes:
    field: of the config, that says how many.
    size: what it says.
    samples: responses to each, where they are prompts.
    sampled: how many of these are sampled at once, at least.
    learnt: how many of these a step learns from.
    cuts: {how the rows are cut, 'minibatches': into how many parts}.
  """

  field: str
  size: int
  samples: int
  sampled: int
  learnt: int
  cuts: Mapping[str, int]

  def step(self, devices: int) -> int:
    """The size must be a multiple of this, on so many devices."""
    parts = math.prod(self.cuts.values())
    return math.lcm(
      sharding.fewest(devices, self.sampled),
      sharding.fewest(devices * parts, self.learnt),
    )

  def shared(self, devices: int) -> bool:
    """Whether so many devices share them evenly."""
    return self.size % self.step(devices) == 0


def check(
  name: str, stage: Stage, mesh: Mapping[str, int], *, kv_heads: int
) -> None:
  """Refuses a stage whose rows do not divide over the devices.

  Args:
    name: of the stage.
    stage: one that trains. Of a config that samples, `fewest_sampled` says how
      many responses to a prompt, `responses` how many a round learns from, and
      `shared_field` which field counts its prompts, if not batch_size.
    mesh: size by axis; a batch is shared along `data` and `fsdp`.
    kv_heads: of the model; of a mesh that is named, `tensor` divides them.

  Raises:
    RowsError: naming the nearest sizes that do, and the nearest mesh.
  """
  every = list(_rows(stage))
  devices = _devices(mesh)
  for rows in every:
    if not rows.shared(devices):
      fewer = [
        n
        for n in range(1, devices)
        if devices % n == 0
        and kv_heads % (mesh['tensor'] * devices // n) == 0
        and all(rows.shared(n) for rows in every)
      ]
      raise RowsError(
        _refusal(name, rows, devices)
        + (_other_mesh(mesh, fewer[-1]) if fewer else '')
      )


def _rows(stage: Stage) -> Iterator[Rows]:
  config = stage.config
  cuts = {
    words: n
    for words in ('minibatches', 'micro_batches')
    if (n := getattr(config, words, 1)) > 1
  }
  field = getattr(config, 'shared_field', 'batch_size')
  size = getattr(config, field)
  yield Rows(
    field=field,
    size=size,
    samples=getattr(config, 'samples', 1),
    sampled=getattr(config, 'fewest_sampled', 1),
    learnt=getattr(config, 'responses', size) // size,
    cuts=cuts,
  )
  if stage.extra_data is not None:
    cuts = {words: n for words, n in cuts.items() if words == 'micro_batches'}
    yield Rows('extra_batch_size', config.extra_batch_size, 1, 1, 1, cuts)


def _refusal(name: str, rows: Rows, devices: int) -> str:
  setting = f'stages.{name}.config.{rows.field}'
  said = [f'{rows.samples} responses each'] * (rows.samples > 1)
  said += [f'{words} {n}' for words, n in rows.cuts.items()]
  how = f' ({", ".join(said)})' if said else ''
  step = rows.step(devices)
  fewer = rows.size // step * step
  sizes = f'{fewer} or {fewer + step}' if fewer else f'{step}'
  return (
    f'{setting} is {rows.size}{how}, and '
    f'{devices} devices (mesh.data x mesh.fsdp) share what is computed at once '
    f'only if it is a multiple of {step}; otherwise each of them computes all '
    f'of it: set {setting} to {sizes}'
  )


def _other_mesh(mesh: Mapping[str, int], devices: int) -> str:
  """Of as many devices in all, of which so many share a batch."""
  data = math.gcd(mesh['data'], devices)
  sizes = {
    'data': data,
    'fsdp': devices // data,
    'tensor': mesh['tensor'] * _devices(mesh) // devices,
  }
  changed = [f'mesh.{a} to {n}' for a, n in sizes.items() if n != mesh[a]]
  return f', or {" and ".join(changed)}'


def _devices(mesh: Mapping[str, int]) -> int:
  return mesh['data'] * mesh['fsdp']
