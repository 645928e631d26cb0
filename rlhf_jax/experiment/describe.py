"""Configs in words: to print, to compare, and to address what they made.

A description is plain JSON: numbers, strings, lists and mappings. Functions and
classes are named by their import path. The digest of a description, together
with the version of the code that it names, is the address of a result.
"""

import ast
import dataclasses
import functools
import hashlib
import inspect
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np


def describe(value: Any) -> Any:
  """What a config says, as JSON; functions and classes by their import path.

  Raises:
    TypeError: a value that has no description (an array, an open file).
  """
  if value is None or isinstance(value, bool | int | float | str):
    return value
  if isinstance(value, np.generic):
    return value.item()
  if isinstance(value, pathlib.PurePath):
    return str(value)
  if isinstance(value, functools.partial):
    bound = {name: describe(v) for name, v in value.keywords.items()}
    bound |= {str(i): describe(v) for i, v in enumerate(value.args)}
    return {'function': describe(value.func)} | bound
  fields = field_values(value)
  if fields is not None:
    named = {name: describe(v) for name, v in fields.items()}
    return {'type': import_path(type(value))} | named
  if isinstance(value, Mapping):
    return {str(name): describe(v) for name, v in value.items()}
  if isinstance(value, list | tuple):
    return [describe(v) for v in value]
  if inspect.ismethod(value):
    return {'of': describe(value.__self__), 'method': value.__name__}
  if callable(value):
    return import_path(value)
  raise TypeError(
    f'a config cannot hold {value!r}: only numbers, text, '
    'functions, and dataclasses of these'
  )


def field_values(value: Any) -> dict[str, Any] | None:
  """The fields of a dataclass or of a NamedTuple by name; None of others."""
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
  if isinstance(value, tuple) and hasattr(value, '_fields'):
    return value._asdict()
  return None


def import_path(thing: Any) -> str:
  """`package.module.name` of a function or class."""
  return f'{thing.__module__}.{thing.__qualname__}'


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


def digest(*descriptions: Any) -> str:
  """Twelve hexadecimal digits that change when any of the descriptions does."""
  text = json.dumps(descriptions, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def code_version(description: Any, also: Iterable[str] = ()) -> str:
  """A digest of the modules that a description names, and of all they import.

  Comments, docstrings and layout do not count.

  Args:
    description: its functions and classes name modules.
    also: further modules, by name.
  """
  seen: dict[str, str] = {}
  waiting = [*also, *_modules_named(description)]
  while waiting:
    name = waiting.pop()
    if name in seen or not _is_ours(name):
      continue
    text = pathlib.Path(sys.modules[name].__file__).read_text(encoding='utf-8')
    seen[name], imports = _parsed(text)
    waiting += _imported(imports)
  return digest(seen)


# Each of an experiment's stages asks of the same modules.
@functools.cache
def _parsed(text):
  tree = ast.parse(text)
  version = hashlib.sha256(_bare(tree).encode()).hexdigest()
  imports = [
    n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)
  ]
  return version, ast.Module(imports, [])


def _modules_named(description) -> Iterator[str]:
  for value in flatten(description).values():
    if isinstance(value, str):
      parts = value.split('.')
      for end in range(len(parts) - 1, 0, -1):
        name = '.'.join(parts[:end])
        if name in sys.modules:
          yield name
          break


def _is_ours(name):
  # The library, and the experiment's own file, which no package installed.
  module = sys.modules.get(name)
  path = getattr(module, '__file__', None)
  if path is None:
    return False
  return name.split('.')[0] == 'rlhf_jax' or (
    name.split('.')[0] not in sys.stdlib_module_names
    and 'site-packages' not in path
  )


def _bare(tree):
  for node in ast.walk(tree):
    body = getattr(node, 'body', None)
    if isinstance(body, list):
      node.body = [
        part
        for part in body
        if not (
          isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
        )
      ]
  return ast.dump(tree)


def _imported(tree) -> Iterator[str]:
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
      for alias in node.names:
        inner = f'{node.module}.{alias.name}'
        yield inner if inner in sys.modules else node.module
