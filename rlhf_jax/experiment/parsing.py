"""Reads a value from text, by the annotation of the field that it is for."""

import contextlib
import dataclasses
import importlib
import pkgutil
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any

from rlhf_jax.addressing import field_values
from rlhf_jax.data.names import nearest
from rlhf_jax.types import values

# As people write them; int() and float() read '1_000' and '٣' as well.
WHOLE = re.compile(r'[+-]?[0-9]+')
NUMBER = re.compile(r'[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?inf')
DOTTED = re.compile(r'[^\W\d]\w*(\.[^\W\d]\w*)+')
PLAIN = (bool, int, float, str, tuple, type(None))


class OverrideError(ValueError):
  """A name that is not there, or a value that does not fit it."""


def parse(text: str, present: Any, annotation: Any, name: str) -> Any:
  """Reads `text` as a value of the annotated type, or else of the present one.

  Args:
    text: a number, true/false, none, text, several of these with commas in
      between, or a function's import path.
    present: the value in its place.
    annotation: of the place, rules included; None for none.
    name: dotted, for messages.

  Raises:
    OverrideError: saying what can be given.
  """
  kinds = kinds_of(present, annotation)
  if text.lower() == 'none' and type(None) in kinds:
    return None
  for kind in (bool, int, float):
    if kind in kinds:
      value = READERS[kind](text)
      if value is not None:
        return value
  several = [k for k in kinds if values.origin(k) is tuple]
  if several and (',' in text or str not in kinds):
    return _tuple(text, present, several[0], name)
  called = Callable in map(values.origin, kinds)
  if called and str in kinds:  # A stage, or a program by its import path.
    return _imported(text, name) if DOTTED.fullmatch(text) else text
  if called or callable(present):
    return _imported(text, name)
  if str in kinds:
    return text
  raise OverrideError(f'{name} {_takes(present, kinds, name)}, not {text!r}')


def kinds_of(present: Any, annotation: Any) -> tuple[Any, ...]:
  """The types that a value may have, by its annotation or its present type.

  Of numbers, whole ones too, one is a float: see training/compile.py.
  """
  if annotation in (None, Any):
    return (type(present),)
  kinds = values.alternatives(values.unwrapped(annotation)[0])
  return tuple(k for k in kinds if not (k is int and float in kinds))


def _bool(text):
  return {'true': True, 'false': False}.get(text.lower())


def _int(text):
  # Python refuses to read digits by the thousand.
  return int(text) if WHOLE.fullmatch(text) and len(text) < 1000 else None


def _float(text):
  return float(text) if NUMBER.fullmatch(text.lower()) else None


READERS = {bool: _bool, int: _int, float: _float}


def _tuple(text, present, kind, name):
  """Several values with commas in between; nothing for none of them."""
  parts = [part.strip() for part in text.split(',')] if text.strip() else []
  of = typing.get_args(kind) or (type(present[0]) if present else str, ...)
  if of[-1] is Ellipsis:
    of = of[:1] * len(parts)
  if len(of) != len(parts):
    raise OverrideError(
      f'{name} takes {len(of)} values with a comma in between, not {text!r}'
    )
  if any(values.origin(values.unwrapped(k)[0]) is tuple for k in of):
    raise OverrideError(
      f'{name} holds tuples of tuples, which cannot be given as text; set it '
      "in the experiment's file"
    )
  return tuple(
    parse(part, None, k, f'{name}.{i}')
    for i, (part, k) in enumerate(zip(parts, of, strict=True))
  )


def _takes(present, kinds, name):
  """What can be given in this place, in words."""
  inner = present if isinstance(present, Mapping) else field_values(present)
  if inner:
    first = next(iter(inner))
    return f'has values of its own; set one of them, such as {name}.{first}'
  if any(map(dataclasses.is_dataclass, kinds)):
    return "is none here; give it in the experiment's file"
  words = [values.WORDS[k] for k in kinds if k in PLAIN]
  return f'takes {" or ".join(words) or "no value of text"}'


def _imported(text, name):
  """The function of an import path."""
  module, _, attribute = text.rpartition('.')
  problem = 'it is no function'
  try:
    there = importlib.import_module(module)
    found = getattr(there, attribute, None)
    if callable(found):
      return found
    if not hasattr(there, attribute):
      problem = f'{module} has no {attribute!r}'
      problem += nearest(attribute, vars(there)).removesuffix('.')
  except Exception as e:  # Whatever a module does when it is imported.
    problem = str(e)
    with contextlib.suppress(ImportError, AttributeError, ValueError):
      found = pkgutil.resolve_name(text)  # As jax.checkpoint_policies.….
      if callable(found):
        return found
  raise OverrideError(
    f'{name} takes a function by its import path, module.function, and '
    f'{text!r} is none: {problem}'
  )
