"""Chips that can be planned for: memory, speed at most, slices that there are.

Sources: Google Cloud's pages on v4, v5e, v5p and v6e, and of the shapes of v4
its page on types and topologies; NVIDIA's data sheet of the H100 SXM. What of a
TPU's memory a program may use is what its compiler says.
"""

import itertools
import math
import re
from typing import NamedTuple

from rlhf_jax.data import names

GIB = 2**30
# Slices of two dimensions; those of three that are smaller than a cube.
FLAT = ((1, 1), (2, 2), (2, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16))
SMALL = ((2, 2, 1), (2, 2, 2), (2, 2, 4), (2, 4, 4))
CUBE = 4  # Chips along each side; larger slices are of whole cubes.


class Chip(NamedTuple):
  """A kind of chip.

  Attributes:
    platform: 'tpu' or 'gpu'.
    kind: as jax's devices have it.
    products: FLOP/s in bfloat16.
    memory: bytes that a program may use.
    reading: bytes/s from its memory.
    link: bytes/s that a device sends over one link, one way.
    shapes: of a TPU's slices that there are, but for those of whole cubes.
    most: chips of the largest slice of whole cubes, 0 where there is none; of
      GPUs, those of a host.
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
  shapes: tuple[tuple[int, ...], ...]
  most: int
  ring: int = 1
  cores: int = 1


CHIPS = {
  'v4': Chip(
    'tpu', 'TPU v4', 275e12, 30.75 * GIB, 1228e9, 45e9, SMALL, 4096, 4, 2
  ),
  'v5e': Chip(
    'tpu', 'TPU v5 lite', 197e12, 15.75 * GIB, 819e9, 45e9, FLAT, 0, 16
  ),
  'v5p': Chip(
    'tpu',
    'TPU v5',
    459e12,
    95.73 * GIB,
    2765e9,
    90e9,
    ((1, 1, 1), *SMALL),  # There are machines of one chip.
    6144,
    4,
    2,
  ),
  'v6e': Chip(
    'tpu', 'TPU v6 lite', 918e12, 31.24 * GIB, 1640e9, 90e9, FLAT, 0, 16
  ),
  'h100': Chip('gpu', 'NVIDIA H100', 989e12, 80e9, 3352e9, 450e9, (), 8),
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
  shape = ()
  if re.fullmatch(r'[1-9]\d*(x[1-9]\d*)*', sizes):
    shape = tuple(map(int, sizes.split('x')))
  if not _exists(chip, shape):
    raise ChipError(f'{name!r} is no slice of {kind}; {_existing(kind, chip)}')
  return Slice(name, chip, shape)


def _exists(chip: Chip, shape: tuple[int, ...]) -> bool:
  if chip.platform == 'gpu':
    return len(shape) == 2 and shape[1] <= chip.most
  cubes = len(shape) == 3 and all(
    n % CUBE == 0 and n <= more
    for n, more in itertools.pairwise([*shape, math.inf])
  )
  return shape in chip.shapes or (cubes and math.prod(shape) <= chip.most)


def _existing(kind: str, chip: Chip) -> str:
  """Which slices there are, in words."""
  if chip.platform == 'gpu':
    return (
      f'it is HOSTSxGPUS, with up to {chip.most} GPUs on each host, as '
      f'{kind}:1x{chip.most} or {kind}:2x{chip.most}'
    )
  shapes = ', '.join('x'.join(map(str, shape)) for shape in chip.shapes)
  if not chip.most:
    return f'there are {shapes}'
  return (
    f'there are {shapes}, and AxBxC of multiples of {CUBE}, A <= B <= C, up to '
    f'{chip.most} chips, as 4x4x4, 4x4x8 or 8x8x8'
  )
