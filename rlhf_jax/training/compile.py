"""jit for functions that take a config: its numbers traced, the rest static."""

import contextlib
import contextvars
import copy
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

Path = tuple[str, ...]


def _run(program, *given, **named):
  return program(*given, **named)


_runner = contextvars.ContextVar('runner', default=_run)


@contextlib.contextmanager
def run_by(runner: Callable[..., Any]) -> Iterator[None]:
  """In the block, `runner` is given every program instead of its being run.

  Args:
    runner: (program, *given, **named) -> what the program would return; the
      program is jitted, and has the name of the function that it is made of.
  """
  token = _runner.set(runner)
  try:
    yield
  finally:
    _runner.reset(token)


@dataclasses.dataclass(frozen=True)
class Bound:
  """A functools.partial that hashes and compares by function and options.

  Attributes:
    function: what is called.
    options: the keywords bound, as sorted (name, value); None for numbers that
      are traced.
  """

  function: Callable[..., Any]
  options: tuple[tuple[str, Any], ...]


def split_config(config: Any) -> tuple[Any, dict[Path, Any]]:
  """A config's numbers, to be traced, and the rest of it, to be hashed.

  Args:
    config: a frozen dataclass; its fields are numbers, functions, sizes, other
      such dataclasses, or pytrees of numbers (flax.struct). The numbers that a
      functools.partial binds count too.

  Returns:
    The config with None for every float, array and pytree, and those by path.
    Ints stay: they are sizes and counts. So does a float of its own fields that
    is 0: what it weighs is left out of the program.
  """
  values = {}

  def blank(value, path):
    if _is_traced(value) and not _is_zero(value):
      values[path] = value
      return None
    if isinstance(value, functools.partial) and not value.args:
      bound = dict(sorted(value.keywords.items()))
      for name, x in bound.items():
        if _is_traced(x):
          values[*path, name], bound[name] = x, None
      return Bound(value.func, tuple(bound.items()))
    return _field_by_field(blank, value, path)

  return blank(config, ()), values


def join_config(config: Any, values: Mapping[Path, Any]) -> Any:
  """Puts `values` back where `split_config` found them."""

  def fill(value, path):
    if path in values:
      return values[path]
    if isinstance(value, Bound):
      options = {n: values.get((*path, n), x) for n, x in value.options}
      return functools.partial(value.function, **options)
    return _field_by_field(fill, value, path)

  return fill(config, ())


def _field_by_field(change, value, path):
  """A config with every field changed; any other value as it is."""
  if not dataclasses.is_dataclass(value) or isinstance(value, type):
    return value
  names = [field.name for field in dataclasses.fields(value)]
  return override(
    value, {name: change(getattr(value, name), (*path, name)) for name in names}
  )


def override(config: Any, values: Mapping[str, Any]) -> Any:
  """A copy of a frozen dataclass with other values, unchecked: they may be
  tracers, which no check can look at."""
  other = copy.copy(config)
  for name, value in values.items():
    object.__setattr__(other, name, value)
  return other


def _is_zero(value):
  return isinstance(value, float) and value == 0.0


def _is_traced(value):
  return isinstance(value, float | np.floating | jax.Array) or hasattr(
    type(value), '_flax_dataclass'
  )


@functools.lru_cache
def jitted(
  function: Callable[..., Any], *, donate: tuple[int, ...] = ()
) -> Callable[..., Any]:
  """Jits `function(*arrays, config=…, **static)`.

  The config's floats are traced, so a learning rate, a temperature or a KL
  coefficient of another value but 0 runs the same program; everything else
  named (models, optimizer, the config's functions and sizes) is static, and
  hashed. An array that stands in several places, as the base of several models
  does, is one argument of the program.

  Args:
    function: what to compile.
    donate: positions of the arguments whose memory the results may take. They
      are the first of the results, in their order, and on a mesh of several
      devices they lie where the arguments lay.
  """

  def laid_out(donated, shared, *, places, values, config, static, laid):
    structure, at = places
    arrays = jax.tree.unflatten(structure, [shared[i] for i in at])
    for place, tree in zip(donate, donated, strict=True):
      arrays.insert(place, tree)
    results = function(
      *arrays, config=join_config(config, values), **dict(static)
    )
    if laid is None:
      return results
    count = len(donate)
    return *_pinned(results[:count], laid), *results[count:]

  # What programs are called wherever jax names them.
  laid_out.__name__ = getattr(function, '__name__', 'program')
  traced = jax.jit(
    laid_out,
    static_argnames=('places', 'static', 'config', 'laid'),
    donate_argnums=(0,),
  )

  @functools.wraps(function)
  def call(*arrays, config, **static):
    config, values = split_config(config)
    shared, places = _once(
      [tree for place, tree in enumerate(arrays) if place not in donate]
    )
    donated = [arrays[place] for place in donate]
    return _runner.get()(
      traced,
      donated,
      shared,
      places=places,
      values=values,
      config=config,
      static=tuple(sorted(static.items())),
      laid=_shardings(donated),
    )

  return call


def make_room(process: pathlib.Path = pathlib.Path('/proc')) -> bool:
  """Drops what is compiled where that fills half of what may be mapped.

  On a CPU each program takes several maps of memory. Where a process has as
  many as Linux lets it have (vm.max_map_count, 65,530 by default), which some
  hundred stages reach, LLVM cannot allocate and the process dies. What is
  needed again is compiled again.

  Args:
    process: the folder that Linux tells of processes in.

  Returns:
    Whether anything was dropped; never where this is no Linux.
  """
  try:
    most = int((process / 'sys/vm/max_map_count').read_text())
    mapped = (process / 'self/maps').read_bytes().count(b'\n')
  except OSError:
    return False
  if full := mapped > most // 2:
    jax.clear_caches()
  return full


def _once(trees: list[Any]) -> tuple[list[Any], tuple[Any, tuple[int, ...]]]:
  """The leaves of trees, each array once, and where in the trees they stand."""
  leaves, structure = jax.tree.flatten(trees)
  kept, at, places = [], {}, []
  for leaf in leaves:
    place = at.setdefault(id(leaf), len(kept))
    array = isinstance(leaf, jax.Array | jax.ShapeDtypeStruct)
    if place == len(kept) or not array:
      place = len(kept)
      kept.append(leaf)
    places.append(place)
  return kept, (structure, tuple(places))


def _shardings(trees: list[Any]) -> tuple[NamedSharding | None, ...] | None:
  """Where the leaves of trees lie on a mesh; None if none lies on several."""
  found = [getattr(leaf, 'sharding', None) for leaf in jax.tree.leaves(trees)]
  found = [s if isinstance(s, NamedSharding) else None for s in found]
  if not any(s is not None and s.mesh.size > 1 for s in found):
    return None
  return tuple(found)


def _pinned(trees, shardings):
  leaves, structure = jax.tree.flatten(list(trees))
  pinned = [
    leaf if s is None else jax.lax.with_sharding_constraint(leaf, s)
    for leaf, s in zip(leaves, shardings, strict=True)
  ]
  return jax.tree.unflatten(structure, pinned)
