"""Compiling for devices that are not here: memory, and what is sent."""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
from jax.sharding import Mesh

from rlhf_jax.planning import collectives, hlo

# How a compiler says what it would need, in GiB: of jax from 0.12 on; before.
REFUSALS = (r'\(([\d.]+)([KMGT])\) exceeds', r'Used ([\d.]+)([KMGT]) of')
UNITS = {'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}
# These only name what is there already.
PASSED_ON = ('parameter', 'tuple', 'get-tuple-element', 'bitcast', 'while')
BUFFERS = 5


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Program:
  """A program of a stage, as it is traced.

  Attributes:
    name: of the function that it is made of.
    traced: with the shapes and shards of its arguments.
    given: its arguments.
    held: what lies in memory while it runs, whoever reads it.
    times: how often a step of the stage runs it; 0 of what runs once.
    loop_steps: how often a loop in it runs that ends by itself, at most and in
      all, however often it begins.
  """

  name: str
  traced: jax.stages.Traced
  given: Any
  held: Any
  times: int
  loop_steps: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compiled:
  """What a compiled program needs and does, on each device.

  Attributes:
    temporaries: bytes beside arguments and results.
    results: bytes of what it returns, less those in the memory of arguments.
    shared: bytes of results in the memory of arguments.
    sent: its collectives, those that send most first.
    buffers: the largest arrays that it makes, by what it says of them.
    moved: leaves of what it may overwrite that come back laid out otherwise,
      so that the next step compiles it again.
    refused: what its compiler said where it does not fit, or None; then only
      temporaries are known.
  """

  temporaries: float
  results: float = 0
  shared: float = 0
  sent: Sequence[collectives.Collective] = ()
  buffers: Mapping[str, float] = dataclasses.field(default_factory=dict)
  moved: Sequence[str] = ()
  refused: str | None = None


@contextlib.contextmanager
def optimised(level: str | None) -> Iterator[None]:
  """In the block programs are compiled at a level: 'O0', 'O1'; None: as usual.

  At O1 a TPU's compiler takes the temporaries that are needed; by default it
  spends what memory is left on fetching ahead.
  """
  before = jax.config.jax_optimization_level
  _set_level(level or before)
  try:
    yield
  finally:
    _set_level(before)


def _set_level(level):
  if level != jax.config.jax_optimization_level:
    jax.clear_caches()  # They hold what was compiled at another level.
    jax.config.update('jax_optimization_level', level)


def compiled(program: Program, mesh: Mesh) -> Compiled:
  """Compiles a program for the devices of a mesh, and measures it.

  Raises:
    jax.errors.JaxRuntimeError: it cannot be compiled, for another reason than
      its size.
  """
  try:
    executable = made(program, mesh)
  except jax.errors.JaxRuntimeError as error:
    needed = _needed(str(error))
    if needed is None:
      raise
    said = str(error).split('\n')[0]
    return Compiled(temporaries=needed, refused=said)
  return measure(program, executable, mesh)


def made(program: Program, mesh: Mesh) -> jax.stages.Compiled:
  """A program, compiled for the devices of a mesh."""
  with jax.set_mesh(mesh):
    return program.traced.lower().compile()


def measure(
  program: Program, executable: jax.stages.Compiled, mesh: Mesh
) -> Compiled:
  """What a compiled program needs and does."""
  memory = executable.memory_analysis()
  module = hlo.read(executable.as_text())
  runs = module.runs(program.loop_steps)
  shared = memory.alias_size_in_bytes
  return Compiled(
    temporaries=memory.temp_size_in_bytes,
    results=memory.output_size_in_bytes - shared,
    shared=shared,
    sent=collectives.find(module, runs, mesh.size),
    buffers=buffers(module, runs),
    moved=_moved(program, executable),
  )


def laid_out(traced: Any, mesh: Mesh) -> Any:
  """What a traced program returns, where its compiler leaves it."""
  with jax.set_mesh(mesh):
    placed = traced.lower().compile().output_shardings
  return jax.tree.map(
    lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
    traced.out_info,
    placed,
  )


def buffers(
  module: hlo.HloModule, runs: Mapping[str, int], most: int = BUFFERS
) -> dict[str, float]:
  """The largest arrays that a program makes, each kind once, with bytes."""
  found: dict[str, float] = {}
  for name in _in_memory(module, runs):
    for each in module.computations[name]:
      if each.code not in PASSED_ON:
        for shape in each.shapes:
          found[f'{shape} {each.code}'] = shape.bytes
  largest = sorted(found.items(), key=lambda item: -item[1])
  return dict(largest[:most])


def _in_memory(module, runs):
  """The computations whose results are arrays: not those inside of fusions."""
  inside = {
    callee
    for instructions in module.computations.values()
    for each in instructions
    for how, callee in each.called
    if how in ('calls', 'to_apply') and each.code != 'call'
  }
  return [
    name for name in module.computations if name in runs and name not in inside
  ]


def _needed(said: str) -> float | None:
  for pattern in REFUSALS:
    if found := re.search(pattern, said):
      return float(found[1]) * UNITS[found[2]]
  return None


def _moved(program, executable):
  """What comes back elsewhere, of a program that overwrites a state."""
  infos = jax.tree.leaves(program.traced.args_info)
  if not any(info.donated for info in infos):
    return ()
  (state,) = program.given[0]
  before = jax.tree_util.tree_leaves_with_path(state)
  after = jax.tree.leaves(executable.output_shardings[0])
  return tuple(
    jax.tree_util.keystr(path)
    for (path, leaf), placed in zip(before, after, strict=True)
    if not placed.is_equivalent_to(leaf.sharding, len(leaf.shape))
  )
