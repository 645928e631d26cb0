"""Configs as plain JSON: to print, to compare, and to address results.

Functions and classes are named by their import path or, in an address, also by
a hash of their code (rlhf_jax.addressing.code).
"""

import dataclasses
import functools
import hashlib
import inspect
import json
import pathlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import jax
import numpy as np


def import_path(thing: Any) -> str:
  """`package.module.name` of a function or class."""
  return f'{thing.__module__}.{thing.__qualname__}'


def describe(value: Any, name: Callable[[Any], str] = import_path) -> Any:
  """A value of a config as JSON.

  Objects other than data, functions and classes are described by their
  `fingerprint()` or, if they can be called, by their attributes.

  Args:
    value: of a config.
    name: names a function or class.

  Raises:
    TypeError: a value that has no description (an open file, a generator).
  """
  if value is None or isinstance(value, bool | int | float | str):
    return value
  inner = functools.partial(describe, name=name)
  if isinstance(value, np.generic):
    return value.item()
  if isinstance(value, np.ndarray | jax.Array):
    return _array(np.asarray(value))
  if isinstance(value, pathlib.PurePath):
    return str(value)
  if isinstance(value, functools.partial):
    bound = {key: inner(v) for key, v in value.keywords.items()}
    bound |= {str(i): inner(v) for i, v in enumerate(value.args)}
    return {'function': inner(value.func)} | bound
  fields = field_values(value)
  if fields is not None:
    named = {key: inner(v) for key, v in fields.items()}
    return {'type': name(type(value))} | named
  if isinstance(value, Mapping):
    return {str(key): inner(v) for key, v in value.items()}
  if isinstance(value, list | tuple):
    return [inner(v) for v in value]
  if isinstance(value, set | frozenset):
    return sorted((inner(v) for v in value), key=str)
  if not inspect.isclass(value) and hasattr(value, 'fingerprint'):
    return {'type': name(type(value)), 'is': value.fingerprint()}
  owner = getattr(value, '__self__', None)  # Of built-in functions, a module.
  if callable(value) and not isinstance(owner, ModuleType | None):
    return {'of': inner(owner), 'method': value.__name__}
  if callable(value) and hasattr(value, '__qualname__'):
    return name(value)
  if callable(value) and hasattr(value, '__name__'):  # As jax.numpy.maximum.
    return f'{type(value).__module__}.{value.__name__}'
  if callable(value) and hasattr(value, '__dict__'):
    return {'type': name(type(value))} | inner(vars(value))
  raise TypeError(
    f'a config cannot hold {value!r}: only numbers, text, '
    'functions, and dataclasses of these'
  )


def _array(value: np.ndarray) -> dict[str, Any]:
  return {
    'array': hashed(np.ascontiguousarray(value).tobytes()),
    'dtype': str(value.dtype),
    'shape': list(value.shape),
  }


def field_values(value: Any) -> dict[str, Any] | None:
  """The fields of a dataclass or of a NamedTuple by name; None of others."""
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
  if isinstance(value, tuple) and hasattr(value, '_fields'):
    return value._asdict()
  return None


def flatten(description: Any, prefix: str = '') -> dict[str, Any]:
  """A description as dotted names and plain values."""
  if isinstance(description, Mapping):
    items = description.items()
  elif isinstance(description, list) and description:
    items = ((str(i), v) for i, v in enumerate(description))
  else:
    return {prefix: description}
  flat = {}
  for name, value in items:
    flat |= flatten(value, f'{prefix}.{name}' if prefix else name)
  return flat


def hashed(content: str | bytes) -> str:
  """SHA-256 of a text or of bytes, in hex."""
  if isinstance(content, str):
    content = content.encode()
  return hashlib.sha256(content).hexdigest()


def digest(*descriptions: Any) -> str:
  """Twelve hexadecimal digits that change when any of the descriptions does."""
  return hashed(json.dumps(descriptions, sort_keys=True))[:12]
