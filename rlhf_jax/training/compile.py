"""jit for functions that take a config: its numbers traced, the rest static."""

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

Path = tuple[str, ...]


def split_config(config: Any) -> tuple[Any, dict[Path, Any]]:
  """A config's numbers, to be traced, and the rest of it, to be hashed.

  Args:
    config: a frozen dataclass; its fields are numbers, functions, sizes, other
      such dataclasses, or pytrees of numbers (flax.struct).

  Returns:
    The config with None for every float, array and pytree, and those by path.
    Ints stay: they are sizes and counts.
  """
  blank, values = {}, {}
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if _is_traced(value):
      blank[field.name] = None
      values[(field.name,)] = value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
      blank[field.name], inner = split_config(value)
      values |= {(field.name, *path): x for path, x in inner.items()}
  return override(config, blank), values


def join_config(config: Any, values: Mapping[Path, Any]) -> Any:
  """Puts `values` back where `split_config` found them."""
  for (name, *inner), value in values.items():
    if inner:
      value = join_config(getattr(config, name), {tuple(inner): value})
    config = override(config, {name: value})
  return config


def override(config: Any, values: Mapping[str, Any]) -> Any:
  """A copy of a frozen dataclass with other values, unchecked: they may be
  tracers, which no check can look at."""
  other = copy.copy(config)
  for name, value in values.items():
    object.__setattr__(other, name, value)
  return other


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
  coefficient of another value runs the same program; everything else named
  (models, optimizer, the config's functions and sizes) is static, and hashed.

  Args:
    function: what to compile.
    donate: positions of the arrays whose memory the result may take.
  """

  @functools.partial(
    jax.jit, static_argnames=('static', 'config'), donate_argnums=donate
  )
  def traced(*arrays, values, config, static):
    return function(*arrays, config=join_config(config, values), **dict(static))

  @functools.wraps(function)
  def call(*arrays, config, **static):
    config, values = split_config(config)
    return traced(
      *arrays,
      values=values,
      config=config,
      static=tuple(sorted(static.items())),
    )

  call.traced = traced
  return call
