"""What a stage needs and what bounds a step of it, from its programs."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from rlhf_jax.experiment import device_rows
from rlhf_jax.experiment.definition import Experiment
from rlhf_jax.planning import (
  compiling,
  flops,
  stage_programs,
  topologies,
)
from rlhf_jax.planning.chips import Slice
from rlhf_jax.planning.compiling import Compiled, Program
from rlhf_jax.stages import Stage


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProgramPlan:
  """What a program of a stage needs.

  Attributes:
    name: of the function that it is made of.
    times: how often a step runs it; 0 of what runs once.
    flops: of its products on all chips together, without dead code.
    held: bytes on each chip of all that lies there while it runs, its
      arguments among it.
    compiled: what its compiler says; None where none is here.
    seconds: by what takes them, the least that each takes: a bound, and no
      forecast.
  """

  name: str
  times: int
  flops: int
  held: int
  compiled: Compiled | None
  seconds: Mapping[str, float]

  @property
  def bytes(self) -> float | None:
    """In a chip's memory while it runs; None where it is not compiled."""
    if self.compiled is None:
      return None
    return self.held + self.compiled.temporaries + self.compiled.results

  @property
  def bound(self) -> tuple[float, str]:
    """The least seconds of a run of it, and what takes them."""
    return max((s, what) for what, s in self.seconds.items())


@dataclasses.dataclass(frozen=True, kw_only=True)
class StagePlan:
  """What a stage needs on a slice.

  Attributes:
    stage: its name.
    state: bytes on each chip of what it trains, and of the optimizer.
    frozen: likewise of what it keeps as it is.
    room: bytes that a program may use of a chip's memory.
    programs: of the stage, in their order.
  """

  stage: str
  state: int
  frozen: int
  room: float
  programs: Sequence[ProgramPlan]

  @property
  def busiest(self) -> ProgramPlan | None:
    """The program at whose run most is in memory; None if not compiled."""
    known = [p for p in self.programs if p.bytes is not None]
    return max(known, key=lambda p: p.bytes, default=None)

  @property
  def fits(self) -> bool | None:
    """Whether all of its programs do; None where that is not known."""
    if self.state + self.frozen > self.room:
      return False
    if self.busiest is None:
      return None
    refused = any(p.compiled and p.compiled.refused for p in self.programs)
    return not refused and self.busiest.bytes <= self.room

  @property
  def seconds(self) -> float:
    """The least that a step takes: that of its programs, one by one."""
    return sum(p.times * p.bound[0] for p in self.programs)

  @property
  def dearest(self) -> ProgramPlan:
    """The program that takes most of a step's bound."""
    return max(self.programs, key=lambda p: p.times * p.bound[0])


def plan(
  experiment: Experiment,
  name: str,
  chips: Slice,
  *,
  level: str | None = None,
  only: Callable[[Program], bool] = lambda program: True,
  tell: Callable[[str], None] = lambda words: None,
) -> StagePlan:
  """Plans a stage that trains; compiles its programs where that is possible.

  Args:
    experiment: with the stage.
    name: of the stage.
    chips: what it is to run on.
    level: of optimisation, as of `compiling.optimised`.
    only: which programs are compiled.
    tell: is told what is compiled, which may take minutes.

  Raises:
    RowsError: the devices cannot share its rows.
    ChipError, ValueError: there is no such slice; the mesh is of another size.
  """
  stage: Stage = experiment.stages[name]
  can = topologies.missing(chips) is None
  make = topologies.mesh if can else topologies.abstract_mesh
  mesh = make(chips, experiment.mesh)
  device_rows.check(name, stage, mesh.shape, kv_heads=experiment.model.kv_heads)
  plans = []
  with compiling.optimised(level):
    programs = stage_programs.of_stage(experiment, name, mesh)
    for program in programs:
      found = None
      if can and only(program):
        tell(f'{name}: compiling {program.name}')
        found = compiling.compiled(program, mesh)
      plans.append(_planned(program, chips, found))
  held = programs[-1].held
  return StagePlan(
    stage=name,
    state=size(held['state']),
    frozen=size(held) - size(held['state']),
    room=chips.chip.memory,
    programs=plans,
  )


def _planned(program: Program, chips: Slice, found: Compiled | None):
  once = flops.of(program.traced.jaxpr)
  work = flops.of(program.traced.jaxpr, loop_steps=program.loop_steps)
  # What a loop multiplies with is read in each of its steps.
  reads = program.loop_steps if work > once else 1
  seconds = {
    'products': work / chips.count / chips.chip.products,
    'reading memory': reads * size(program.given) / chips.chip.reading,
  }
  if found is not None:
    seconds['sending'] = sum(one.wire for one in found.sent) / chips.sending
  return ProgramPlan(
    name=program.name,
    times=program.times,
    flops=work,
    held=size((program.held, program.given)),
    compiled=found,
    seconds=seconds,
  )


def size(tree: Any) -> int:
  """Bytes of a tree on each device; of an array in several places once."""
  leaves = {id(leaf): leaf for leaf in jax.tree.leaves(tree)}
  return sum(map(_bytes, leaves.values()))


def _bytes(leaf) -> int:
  if not hasattr(leaf, 'shape'):
    return 4  # A number of a config.
  shape = leaf.shape
  if getattr(leaf, 'sharding', None) is not None:
    shape = leaf.sharding.shard_shape(shape)
  return math.prod(shape) * leaf.dtype.itemsize
