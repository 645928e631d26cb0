"""Rules on the values of configs, in annotations, checked at construction.

A rule is part of the annotation of a field, or of a function's option:

  @dataclasses.dataclass(frozen=True, kw_only=True)
  @checked
  class Config:
    steps: Count
    kl_coef: NonNegative = 0.0
    kl_estimator: Callable[[chex.Array, chex.Array], chex.Array] = k1

Only plain values are checked: an array, or a tracer of a vmapped sweep, may be
anything.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import jax
import numpy as np

from rlhf_jax.types import calls
from rlhf_jax.types.calls import shown
from rlhf_jax.types.rules import AtMost, Day, Divides, Range

WORDS = {
  bool: 'true or false',
  int: 'a whole number',
  float: 'a number',
  str: 'text',
  tuple: 'a tuple',
  Callable: 'a function',
  type(None): 'none',
}
# The classes that an annotation allows.
CLASSES = {
  bool: (bool, np.bool_),
  int: (int, np.integer),
  float: (int, float, np.number),
  tuple: (tuple, list),
}
# Annotations of arrays, which are not checked.
ARRAYS = (jax.Array, np.ndarray, np.bool_, np.number)


class ValueRuleError(ValueError):
  """A value that its annotation does not allow.

  Attributes:
    name: dotted, of the place inside its owner.
    complaint: what is wrong, and what is allowed; `….` stands for the name.
    owner: the class, or the name of the config.
  """

  def __init__(self, name: str, complaint: str, *, owner: str = ''):
    super().__init__()
    self.name, self.complaint, self.owner = name, complaint, owner

  def __str__(self) -> str:
    return self.inside(self.owner)

  def inside(self, owner: str) -> str:
    """The sentence, with this name for the owner."""
    name = f'{owner}.{self.name}' if owner else self.name
    return f'{name} {self.complaint}'.replace('….', f'{name}.')


def checked(cls: type) -> type:
  """Makes a dataclass check its fields, before its own `__post_init__`.

  A decorator to put below `dataclasses.dataclass`.
  """
  own = cls.__dict__.get('__post_init__')

  def __post_init__(self):
    check(self)
    if own is not None:
      own(self)

  # A parent's check covers the fields of its children.
  if own is not None or not hasattr(cls, '__post_init__'):
    cls.__post_init__ = __post_init__
  return cls


def check(config: Any) -> None:
  """Checks every field of a dataclass or NamedTuple.

  Raises:
    ValueRuleError: naming the field, its value and what is allowed.
  """
  owner = f'{type(config).__module__.split(".")[-1]}.{type(config).__name__}'
  for name, hint in hints(type(config)).items():
    value = getattr(config, name)
    for place, complaint in complaints(value, hint, config):
      raise ValueRuleError(name + place, complaint, owner=owner)


def complaints(
  value: Any, hint: Any, owner: Any = None
) -> Iterator[tuple[str, str]]:
  """What is wrong with a value: (place inside it, complaint) pairs."""
  hint, rules = unwrapped(hint)
  if isinstance(value, jax.Array | np.ndarray) or hint is Any:
    return
  kinds = alternatives(hint)
  if value is None and type(None) in kinds:
    return
  if callable(value) and Callable in map(origin, kinds):
    yield from _of_function(value, kinds, rules)
    return
  if not any(_fits(value, kind) for kind in kinds):
    yield '', f'is {shown(value)}; it must be {_worded(kinds, rules)}'
    return
  for rule in rules:
    complaint = _ruled(value, rule, owner)
    if complaint is not None:
      yield '', complaint
  for place, part, of in _parts(value, kinds):
    for inside, complaint in complaints(part, of, owner):
      yield f'.{place}{inside}', complaint


def unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
  """An annotation without its rules, and the rules; also of `rule | None`."""
  if typing.get_origin(hint) is Annotated:
    return hint.__origin__, hint.__metadata__
  if typing.get_origin(hint) in (typing.Union, types.UnionType):
    plain, rules = [], ()
    for part in typing.get_args(hint):
      inner, more = unwrapped(part)
      plain.append(inner)
      rules += more
    return typing.Union[tuple(plain)], rules  # noqa: UP007
  return hint, ()


def alternatives(hint: Any) -> tuple[Any, ...]:
  """The types of a union, or the single type."""
  if typing.get_origin(hint) in (typing.Union, types.UnionType):
    return typing.get_args(hint)
  return (hint,)


@functools.cache
def hints(of: Any) -> Mapping[str, Any]:
  """The annotations, rules included, of a class's fields or of a function's
  parameters."""
  try:
    found = typing.get_type_hints(of, include_extras=True)
  except (TypeError, NameError):  # It has none, or none that can be read.
    return {}
  if dataclasses.is_dataclass(of):
    return {f.name: found[f.name] for f in dataclasses.fields(of)}
  return found


def _ruled(value, rule, owner):
  """What a rule finds wrong with a number or a day, or None."""
  if isinstance(rule, Day):
    return rule.complaint(value) if isinstance(value, str) else None
  if isinstance(value, bool) or not isinstance(value, int | float | np.number):
    return None
  if isinstance(rule, Range):
    # As the device will hold it, where 1e300 is infinite and 1e-60 is 0.
    with np.errstate(over='ignore', under='ignore'):
      number = value if isinstance(value, int) else float(np.float32(value))
    return None if rule.holds(number) else f'is {value}; it must be {rule}'
  if isinstance(rule, Divides | AtMost):
    return rule.complaint(value, owner)
  return None


def origin(kind: Any) -> Any:
  """The class of an annotation: of list[int], list."""
  return typing.get_origin(kind) or kind


def _fits(value, hint):
  """Whether a value is of a type, as far as it can be checked."""
  kind = origin(hint)
  if kind is tuple and isinstance(value, tuple | list):
    return len(_each(typing.get_args(hint), value)) in (0, len(value))
  if kind in (int, float) and isinstance(value, bool):
    return False
  kind = CLASSES.get(kind, kind)
  if isinstance(kind, tuple):
    return isinstance(value, kind)
  if not isinstance(kind, type) or getattr(kind, '_is_protocol', False):
    return kind is not Callable
  return isinstance(value, kind)


def _worded(kinds, rules):
  """The allowed types and ranges, in words."""
  plain = [kind for kind in map(origin, kinds) if kind not in ARRAYS]
  if float in plain:
    plain = [kind for kind in plain if kind is not int]
  words = [WORDS.get(kind) or kind.__name__ for kind in plain]
  ranges = [str(rule) for rule in rules if isinstance(rule, Range)]
  return ', '.join([' or '.join(words), *ranges])


def _parts(value, kinds):
  """The parts of a tuple or mapping: (place, part, annotation)s."""
  for kind in kinds:
    of = typing.get_args(kind)
    if isinstance(value, Mapping) and len(of) == 2:
      return [(key, part, of[1]) for key, part in value.items()]
    if origin(kind) is tuple and isinstance(value, tuple | list):
      parts = zip(value, _each(of, value), strict=False)
      return [(place, *part) for place, part in enumerate(parts)]
  return []


def _each(of, value):
  """The annotation of each part of a tuple."""
  return of[:1] * len(value) if of[1:] == (Ellipsis,) else of


def _of_function(function, kinds, rules):
  """Complaints of a function: its options, and how it is called."""
  yield from _of_options(function)
  (kind,) = (kind for kind in kinds if origin(kind) is Callable)
  for rule in calls.rules_of(kind, rules):
    complaint = rule.complaint(function)
    if complaint is not None:
      yield '', complaint


def _of_options(function):
  """Complaints of what a functools.partial binds, each at its option."""
  if not isinstance(function, functools.partial):
    return
  there = calls.parameters(function.func)
  for name, value in function.keywords.items():
    if there and not _takes(there, name):
      known = ', '.join(calls.options(function.func)) or 'none'
      whose = f'{shown(function)}, whose options are {known}'
      yield f'.{name}', f'is no option of {whose}'
    elif name in there:
      hint = hints(function.func).get(name, Any)
      for place, complaint in complaints(value, hint):
        yield f'.{name}{place}', complaint


def _takes(there, name):
  return name in there or any(p.kind is p.VAR_KEYWORD for p in there.values())
