"""What the devices of a compiled program send each other."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlhf_jax.planning import hlo

KINDS = (
  'all-gather',
  'all-reduce',
  'reduce-scatter',
  'all-to-all',
  'ragged-all-to-all',
  'collective-permute',
  'collective-broadcast',
)
FEW = 12  # Instructions of a computation that is one reduce-scatter.


class Collective(NamedTuple):
  """Sends of one kind and size.

  Attributes:
    kind: as XLA calls it.
    shape: of the result on each device.
    group: devices that send to each other.
    times: how often a run of the program does it.
    bytes: of the result, each time.
    looped: whether a loop repeats it.
  """

  kind: str
  shape: str
  group: int
  times: int
  bytes: float
  looped: bool

  @property
  def wire(self) -> float:
    """Bytes that a device sends in all, on rings.

    Of an all-gather of S bytes over n devices S (n − 1) / n, and of an
    all-reduce twice as much.
    """
    n = self.group
    if self.kind in ('collective-permute', 'collective-broadcast'):
      share = 1.0
    elif self.kind == 'reduce-scatter':  # Its result is one device's part.
      share = n - 1.0
    else:
      share = (2 if self.kind == 'all-reduce' else 1) * (n - 1) / n
    return self.times * self.bytes * share


def find(
  module: hlo.HloModule, runs: Mapping[str, int], devices: int
) -> list[Collective]:
  """The collectives of a program, those that send most first.

  Args:
    module: the program.
    runs: how often each of its computations runs.
    devices: of the program; what names no group is sent among all.
  """
  found: dict[tuple, list[int]] = {}
  channels = set()
  for name, instructions in module.computations.items():
    for each in instructions:
      kind = each.code.removesuffix('-start')
      if kind not in KINDS or not runs.get(name):
        continue
      # The steps of one that is asynchronous are printed several times.
      channel = re.search(r'channel_id=(\d+)', each.rest)
      if channel and channel[1] in channels:
        continue
      channels |= {channel[1]} if channel else set()
      results = _results(each, kind)
      group = _group(each.rest) or devices
      size = sum(shape.bytes for shape in results)
      if kind == 'all-reduce' and _scatters(instructions):
        kind, size = 'reduce-scatter', size / group
      key = (kind, ' + '.join(map(str, results)), group, size)
      found.setdefault(key, []).append(runs[name])
  listed = [
    Collective(kind, shape, group, sum(times), size, max(times) > 1)
    for (kind, shape, group, size), times in found.items()
    if group > 1
  ]
  return sorted(listed, key=lambda each: -each.wire)


def _results(instruction, kind) -> Sequence[hlo.Shape]:
  """The arrays that come out; of a start, (operands, results, …) come out."""
  shapes = instruction.shapes
  if not instruction.code.endswith('-start') or len(shapes) < 2:
    return shapes
  if kind == 'all-reduce':
    return shapes
  half = max(len(instruction.operands), 1)
  return shapes[half : 2 * half]


def _scatters(instructions: Sequence[hlo.Instruction]) -> bool:
  """Whether a computation is a reduce-scatter, as XLA writes it for TPUs."""
  sliced = any(each.code == 'dynamic-slice' for each in instructions)
  return sliced and len(instructions) < FEW


def _group(rest: str) -> int | None:
  """How many devices send to each other; None where no group is named."""
  if found := re.search(r'replica_groups=\[(\d+),(\d+)\]', rest):
    return int(found[2])
  if found := re.search(r'replica_groups=\{\{([\d,]+)\}', rest):
    return len(found[1].split(','))
  named = re.search(r'replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}', rest)
  if named:
    sizes = dict(re.findall(r"'([^']+)'=(\d+)", named[1]))
    # A part of an axis is 'axis':(before)size.
    axes = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", named[2])
    return math.prod(int(part or sizes[axis]) for axis, part in axes)
  if pairs := re.search(r'source_target_pairs=\{(.*?)\}\}', rest):
    return pairs[1].count('{')
  return None
