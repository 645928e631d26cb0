"""Chips that can be planned for: their memory, and how fast they are at most.

Sources: Google Cloud's pages on v4, v5e, v5p and v6e; NVIDIA's data sheet of
the H100 SXM. What of a TPU's memory a program may use is what its compiler
says.
"""

import math
import re
from typing import NamedTuple

from rlhf_jax.data import names

GIB = 2**30


class Chip(NamedTuple):
  """A kind of chip.

  Attributes:
    platform: 'tpu' or 'gpu'.
    kind: as jax's devices have it.
    products: FLOP/s in bfloat16.
    memory: bytes that a program may use.
    reading: bytes/s from its memory.
    link: bytes/s that a device sends over one link, one way.
    dimensions: of a TPU's slice; of GPUs, hosts and GPUs on each.
    ring: length from which an axis of a slice is a ring: a device then sends
      both ways along it.
    cores: of a chip, which are one device together.
  """

  platform: str
  kind: str
  products: float
  memory: float
  reading: float
  link: float
  dimensions: int
  ring: int = 1
  cores: int = 1


CHIPS = {
  'v4': Chip('tpu', 'TPU v4', 275e12, 30.75 * GIB, 1228e9, 45e9, 3, 4, 2),
  'v5e': Chip('tpu', 'TPU v5 lite', 197e12, 15.75 * GIB, 819e9, 45e9, 2, 16),
  'v5p': Chip('tpu', 'TPU v5', 459e12, 95.73 * GIB, 2765e9, 90e9, 3, 4, 2),
  'v6e': Chip('tpu', 'TPU v6 lite', 918e12, 31.24 * GIB, 1640e9, 90e9, 2, 16),
  'h100': Chip('gpu', 'NVIDIA H100', 989e12, 80e9, 3352e9, 450e9, 2),
}


class ChipError(ValueError):
  """Chips that do not exist, or cannot be planned for."""


class Slice(NamedTuple):
  """Chips that work together.

  Attributes:
    name: as it is asked for: v5e:16x16.
    chip: of which all are.
    shape: how many along each dimension; of GPUs (hosts, GPUs on each).
  """

  name: str
  chip: Chip
  shape: tuple[int, ...]

  @property
  def count(self) -> int:
    """How many chips; each is a device of jax."""
    return math.prod(self.shape)

  @property
  def sending(self) -> float:
    """Bytes/s that a chip sends at most, over all of its links.

    Between hosts GPUs send slower than among themselves.
    """
    if self.chip.platform == 'gpu':
      return self.chip.link
    links = [2 if n >= self.chip.ring else 1 for n in self.shape if n > 1]
    return self.chip.link * max(sum(links), 1)


def parse(name: str) -> Slice:
  """The slice that is asked for: v5e:16x16, v5p:4x4x4, h100:1x8.

  Raises:
    ChipError: there is no such chip, or no such shape.
  """
  kind, _, sizes = name.partition(':')
  if kind not in CHIPS:
    near = names.nearest(kind, list(CHIPS))
    raise ChipError(
      f'chips {kind!r} are not known{near} There are {", ".join(CHIPS)}'
    )
  chip = CHIPS[kind]
  shape = 'x'.join(['N'] * chip.dimensions)
  if not re.fullmatch(r'[1-9]\d*(x[1-9]\d*)*', sizes) or (
    sizes.count('x') + 1 != chip.dimensions
  ):
    example = 'x'.join(['4'] * chip.dimensions)
    if chip.platform == 'gpu':
      shape, example = 'HOSTSxGPUS', '1x8'
    raise ChipError(
      f'{name!r} says no shape of {kind}, which is {kind}:{shape}, as in '
      f'{kind}:{example}'
    )
  return Slice(name, chip, tuple(map(int, sizes.split('x'))))
