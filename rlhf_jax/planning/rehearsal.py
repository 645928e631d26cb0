"""Noting the programs that functions would run, in place of running them."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from rlhf_jax import sharding
from rlhf_jax.planning import compiling
from rlhf_jax.planning.compiling import Program
from rlhf_jax.training.compile import run_by
from rlhf_jax.types import Sampler


class Rehearsal:
  """Functions that are called with shapes, and the programs that they run.

  Attributes:
    mesh: of devices that are not here or, to trace alone, abstract.
    programs: noted so far, in their order; each once.
    held: what is in memory by now.
    times: 1 while a step is rehearsed, and 0 before the first.
  """

  def __init__(self, mesh: Mesh | AbstractMesh, loop_steps: int):
    """On a mesh; `loop_steps` is the most that a response takes."""
    self.mesh, self._loop_steps = mesh, loop_steps
    self.programs: list[Program] = []
    self.held: dict[str, Any] = {}
    self.times = 0
    self._places: dict[Any, int] = {}

  @contextlib.contextmanager
  def noting(self) -> Iterator[None]:
    """In the block all that `training.compile.jitted` has made is noted.

    Arrays may be made meanwhile: the devices of the mesh are not set.
    """
    abstract = self.mesh
    if isinstance(self.mesh, Mesh):
      abstract = self.mesh.abstract_mesh
    with jax.sharding.use_abstract_mesh(abstract), run_by(self.run):
      yield

  def run(self, program: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Notes a jitted program; returns ones in place of its results."""
    return ones(self.note(program, *given, **named))

  def note(
    self,
    program: Callable[..., Any],
    *given: Any,
    rounds: int = 1,
    **named: Any,
  ) -> Any:
    """Notes a jitted program; returns the shapes of its results.

    Args:
      program: from `jax.jit`.
      given: its arguments.
      rounds: of `loop_steps` each, that its loops run.
      named: its arguments that are given by name.
    """
    given = jax.tree.map(self._shape, given)
    with self._entered():
      traced = program.trace(*given, **named)
    leaves, structure = jax.tree.flatten(given)
    key = (traced.fun_name, structure, str(leaves))
    place = self._places.setdefault(key, len(self.programs))
    if place < len(self.programs):
      known = self.programs[place]
      times = known.times + self.times
      self.programs[place] = dataclasses.replace(known, times=times)
    else:
      self.programs.append(
        Program(
          name=traced.fun_name,
          traced=traced,
          given=given,
          held=dict(self.held),
          times=self.times,
          loop_steps=rounds * self._loop_steps,
        )
      )
    return traced.out_info

  def sampler(self, sampler: Sampler) -> Sampler:
    """Notes what a sampler runs; it samples ones."""

    def load(params):
      loaded = self.note(named('load', sampler.load), params)
      if isinstance(self.mesh, Mesh):
        loaded = compiling.laid_out(self.programs[-1].traced, self.mesh)
      self.held['loaded'] = loaded
      return loaded

    def sample(loaded, prompts, key, *, at_a_time=None, **options):
      static = ('samples', 'at_a_time')
      program = named('sample', sampler.sample, static_argnames=static)
      rows = prompts.tokens.shape[0]
      # If no response ends early, all that are written side by side end
      # together, and as many others begin.
      return self.run(
        program,
        loaded,
        prompts,
        key,
        rounds=rows // (at_a_time or rows),
        at_a_time=at_a_time,
        **options,
      )

    return Sampler(load, sample)

  def scorer(self, scorer: Callable[..., Any]) -> Callable[..., Any]:
    """Notes what a scorer runs; it scores with ones."""
    return functools.partial(self.run, named('score', scorer))

  def _shape(self, leaf):
    """The shape of an array of a batch, its rows split; others as they are."""
    if isinstance(leaf, jax.ShapeDtypeStruct | float | int):
      return leaf
    spec = PartitionSpec()
    if np.ndim(leaf):
      sizes = self.mesh.shape
      spec = sharding.fitting_spec(np.shape(leaf), (sharding.BATCH,), sizes)
    placed = NamedSharding(self.mesh, spec)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=placed)

  def _entered(self):
    if isinstance(self.mesh, Mesh):
      return jax.set_mesh(self.mesh)
    return jax.sharding.use_abstract_mesh(self.mesh)


def ones(tree: Any) -> Any:
  """Arrays of ones for shapes, which take no memory."""
  return jax.tree.map(
    lambda x: np.broadcast_to(np.ones((), x.dtype), x.shape), tree
  )


def named(name: str, function: Callable[..., Any], **options: Any) -> Any:
  """The function, jitted under a name."""

  def program(*given, **others):
    return function(*given, **others)

  program.__name__ = name
  return jax.jit(program, **options)
