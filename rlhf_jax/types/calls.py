"""Rules on functions in configs: how they must be callable.

`values` checks the options that a functools.partial binds.
"""

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import chex


@dataclasses.dataclass(frozen=True)
class Called:
  """A function that is called with so many positional and these keywords.

  For signatures that `Callable[[…], …]` cannot express.
  """

  positional: int
  keywords: tuple[str, ...] = ()

  def complaint(self, function: Callable) -> str | None:
    """What is wrong with a function for such a call, or None."""
    if unbound := _unbound(function, self.keywords):
      return unbound
    given = [object()] * self.positional
    try:
      inspect.signature(function).bind(*given, **dict.fromkeys(self.keywords))
    except ValueError:
      return f'is {shown(function)}, which does not say how it can be called'
    except TypeError:
      several = '' if self.positional == 1 else 's'
      named = ', '.join(self.keywords)
      return (
        f'is {shown(function)}, which takes '
        f'({", ".join(parameters(function))}); it is called with '
        f'{self.positional} argument{several}'
        + (f' and {named} by name' if named else '')
      )
    return None


@dataclasses.dataclass(frozen=True)
class Reads:
  """A function, each of whose positional parameters names one of these."""

  names: tuple[str, ...]

  def complaint(self, function: Callable) -> str | None:
    """What is wrong with a function's parameters, or None."""
    if unbound := _unbound(function):
      return unbound
    bound = getattr(function, 'keywords', {})
    names = [
      name
      for name, p in parameters(function).items()
      if p.kind is p.POSITIONAL_OR_KEYWORD and name not in bound
    ]
    other = [name for name in names if name not in self.names]
    if names and not other:
      return None
    return (
      f'is {shown(function)}, which reads {", ".join(other) or "nothing"} by '
      f'name; there are {", ".join(self.names)}'
    )


def offering(names: Sequence[str]) -> Any:
  """The annotation of an objective that may name any of these arrays."""
  return Annotated[Callable[..., chex.Array], Reads(tuple(names))]


def rules_of(hint: Any, rules: Sequence[Any]) -> list[Called | Reads]:
  """The rules on calls in an annotation of a function, if any."""
  said = [rule for rule in rules if isinstance(rule, Called | Reads)]
  arguments = typing.get_args(hint)
  if not said and arguments and isinstance(arguments[0], list):
    return [Called(len(arguments[0]))]
  return said


def parameters(function: Callable) -> Mapping[str, inspect.Parameter]:
  """A function's parameters; empty if it has no signature."""
  try:
    return inspect.signature(function).parameters
  except (TypeError, ValueError):  # Some functions written in C do not.
    return {}


def options(function: Callable) -> dict[str, inspect.Parameter]:
  """The keyword-only parameters of a function, by name."""
  return {
    name: parameter
    for name, parameter in parameters(function).items()
    if parameter.kind is parameter.KEYWORD_ONLY
  }


def shown(value: Any) -> str:
  """A value for a message; a function by its import path."""
  if isinstance(value, functools.partial):
    value = value.func
  if callable(value) and hasattr(value, '__qualname__'):
    return f'{value.__module__}.{value.__qualname__}'
  text = repr(value)
  return text if len(text) <= 80 else f'{text[:77]}…'


def _unbound(function, given=()):
  """The complaint about options without a value, or None."""
  missing = [
    name
    for name, option in options(function).items()
    if option.default is option.empty and name not in given
  ]
  if not missing:
    return None
  name = shown(function)
  return (
    f'is {name}, which needs {", ".join(missing)}: bind it, as in '
    f'functools.partial({name.split(".")[-1]}, {missing[0]}=…), or set '
    f'….{missing[0]}'
  )
