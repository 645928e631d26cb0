"""Where a tensor of a file lies in our parameters, as a pattern.

'(H K) D -> D H K' is read as einsum is: the file's tensor [H·K, D], and ours
[D, H, K]. An axis i/n is place i of n; a fused axis FQ, FK or FV is the part of
H + 2G heads that are the queries', keys' or values'. The same view of a tensor
of the file is read from and written to.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rlhf_jax.models.config import TransformerConfig


class Piece(NamedTuple):
  """A part of a tensor of a file, and its place in the parameters.

  Attributes:
    leaf: path of the parameter.
    pattern: as above.
    layer: which of the stacked layers; None where nothing is stacked.
  """

  leaf: str
  pattern: str
  layer: int | None

  @property
  def at(self) -> tuple[int | None, ...]:
    """For each axis of the parameter, its place; None fills all of it."""
    own = place(self.pattern)
    return own if self.layer is None else (self.layer, *own)


def sizes(config: TransformerConfig, scores: int = 1) -> dict[str, int]:
  """How long the axes of the letters are; `scores` is M."""
  positions = config.positions
  return {
    'V': config.vocab_size,
    'D': config.width,
    'H': config.heads,
    'G': config.kv_heads,
    'K': config.head_width,
    'I': config.mlp_width,
    'P': positions.count + positions.offset if positions else 0,
    'M': scores,
  }


def shape(pattern: str, size: Mapping[str, int]) -> tuple[int, ...]:
  """The shape of the file's tensor."""
  source = pattern.split('->')[0]
  groups = re.findall(r'\(([^)]*)\)|(\S+)', source)
  return tuple(
    int(np.prod([_length(axis, size) for axis in (many or one).split()]))
    for many, one in groups
  )


def view(
  tensor: np.ndarray, pattern: str, size: Mapping[str, int]
) -> np.ndarray:
  """The part of a file's tensor, with the axes of ours; a view of it."""
  source, target = (re.findall(r'[^\s()]+', s) for s in pattern.split('->'))
  whole = tensor.reshape([_length(axis, size) for axis in source])
  part = whole[tuple(_taken(axis, size) for axis in source)]
  left = [axis for axis in source if '/' not in axis]
  return part.transpose([left.index(a) for a in target if '/' not in a])


def place(pattern: str) -> tuple[int | None, ...]:
  """For each axis of ours, which place of it is filled; None fills all."""
  target = pattern.split('->')[1].split()
  return tuple(int(a.split('/')[0]) if '/' in a else None for a in target)


def index(places: tuple[int | None, ...]) -> tuple[int | slice, ...]:
  """Of an array, what is filled at such places."""
  return tuple(slice(None) if place is None else place for place in places)


def _length(axis, size):
  if '/' in axis:
    return int(axis.split('/')[1])
  if axis in ('FQ', 'FK', 'FV'):
    return size['H'] + 2 * size['G']
  return int(axis) if axis.isdigit() else size[axis]


def _taken(axis, size):
  if '/' in axis:
    return int(axis.split('/')[0])
  if axis in ('FQ', 'FK', 'FV'):
    start = {'FQ': 0, 'FK': size['H'], 'FV': size['H'] + size['G']}[axis]
    return slice(start, start + size['H' if axis == 'FQ' else 'G'])
  return slice(None)
