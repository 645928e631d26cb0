"""Setting one value deep inside a config by its dotted name."""

import dataclasses
import difflib
import functools
import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from rlhf_jax.experiment.describe import field_values


class OverrideError(ValueError):
  """A name that is not there, or a value that does not fit it."""


def build(module: Any, assignments: Sequence[str]) -> Any:
  """The experiment of a file, with settings and values set.

  Args:
    module: the file: `Settings`, and `config` of them.
    assignments: `NAME=VALUE`, of a setting or of any value of the experiment.

  Raises:
    OverrideError: naming what is wrong and the nearest valid names.
  """
  settings = module.Settings()
  names = {field.name for field in dataclasses.fields(settings)}
  inner = []
  for assignment in assignments:
    name, equals, text = assignment.partition('=')
    if not equals:
      raise OverrideError(
        f'--set takes NAME=VALUE, and {assignment!r} has no "="'
      )
    if name.split('.')[0] in names:
      settings = apply(settings, name, text)
    else:
      inner.append((name, text))
  experiment = module.config(settings)
  for name, text in inner:
    if name.split('.')[0] not in field_values(experiment):
      refuse_root(name, settings, experiment)
    experiment = apply(experiment, name, text)
  return experiment


def apply(config: Any, path: str, text: str, *, at: str = '') -> Any:
  """A copy of `config` with the value at `path` read from `text`.

  Args:
    config: a dataclass, NamedTuple, mapping or function, however deep; a
      function's members are its keyword-only options.
    path: dotted, as `stages.ppo.config.kl_coef`.
    text: a number, true/false, none, text, or a function's import path; it must
      fit the type of what is there. A function keeps those options that were
      bound to the one before and that it takes too.
    at: the name of `config` itself, for messages.

  Raises:
    OverrideError: naming what is wrong and the nearest valid names.
  """
  members = _members(config)
  name, rest = _split(path, members or ())
  full = f'{at}.{name}' if at else name
  if members is None:
    raise OverrideError(f'{at} is a single value; there is no {full} to set')
  if name not in members:
    raise OverrideError(_no_such_name(full, name, members, at))
  if rest:
    value = apply(members[name], rest, text, at=full)
  else:
    value = parse(text, members[name], _annotation(config, name), full)
    value = _rebound(members[name], value)
  try:
    return _replace(config, name, value)
  except ValueError as e:
    raise OverrideError(f'{full}: {e}') from e


def parse(text: str, present: Any, annotation: Any, name: str) -> Any:
  """Reads `text` as a value of the type of `present`, or as annotated."""
  kinds = _kinds(present, annotation)
  if text.lower() == 'none' and type(None) in kinds:
    return None
  if bool in kinds and text.lower() in ('true', 'false'):
    return text.lower() == 'true'
  for kind in (int, float):
    if kind in kinds:
      try:
        return kind(text)
      except ValueError:
        continue
  if callable(present) or callable_kind(annotation):
    return _imported(text, name)
  if str in kinds:
    return text
  words = sorted('none' if k is type(None) else k.__name__ for k in kinds)
  raise OverrideError(
    f'{name} takes {" or ".join(words) or "no value of text"}, not {text!r}'
  )


def refuse_root(name: str, settings: Any, experiment: Any) -> None:
  """Says that a dotted name begins neither a setting nor an experiment's value.

  Raises:
    OverrideError: always, with the nearest names of both.
  """
  root = name.split('.')[0]
  both = {**field_values(settings), **field_values(experiment)}
  raise OverrideError(_no_such_name(root, root, both, ''))


def callable_kind(annotation: Any) -> bool:
  """Whether an annotation names functions."""
  return 'Callable' in str(annotation)


def _kinds(present, annotation):
  kinds = {getattr(annotation, '__origin__', annotation)}
  kinds |= set(getattr(annotation, '__args__', ()))
  plain = {bool, int, float, str, type(None)}
  if present is not None:
    kinds.add(type(present))
  return {k for k in kinds if k in plain}


def _split(path, members):
  """The member that a path begins with, dots in its name included; the rest."""
  name, _, rest = path.partition('.')
  for member in sorted(members, key=len):
    if '.' in member and f'{path}.'.startswith(f'{member}.'):
      name, rest = member, path[len(member) + 1 :]
  return name, rest


def _members(config) -> Mapping[str, Any] | None:
  if isinstance(config, Mapping):
    return config
  fields = field_values(config)
  if fields is None and callable(config):
    return _option_values(config) or None
  return fields


def _option_values(function):
  """Of a function's options, what is bound or by default; None without."""
  values = {
    name: None if option.default is option.empty else option.default
    for name, option in _options(function).items()
  }
  return values | getattr(function, 'keywords', {})


def _options(function):
  """The keyword-only parameters of a function, by name."""
  try:
    parameters = inspect.signature(function).parameters
  except (TypeError, ValueError):  # Some functions written in C have none.
    return {}
  return {
    name: parameter
    for name, parameter in parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
  }


def _rebound(before, now):
  """The function `now`, with the options that were bound to the one before."""
  if not isinstance(before, functools.partial):
    return now
  taken = _options(now).keys() - getattr(now, 'keywords', {}).keys()
  kept = {name: x for name, x in before.keywords.items() if name in taken}
  return functools.partial(now, **kept) if kept else now


def _annotation(config, name):
  if dataclasses.is_dataclass(config):
    return {f.name: f.type for f in dataclasses.fields(config)}[name]
  if name in (options := _options(config) if callable(config) else {}):
    annotation = options[name].annotation
    # Of numbers, whole ones too, an option is a float: see training/compile.py.
    whole = {int, float} <= set(getattr(annotation, '__args__', ()))
    return float if whole else annotation
  return getattr(type(config), '__annotations__', {}).get(name)


def _replace(config, name, value):
  if isinstance(config, Mapping):
    return {**config, name: value}
  if dataclasses.is_dataclass(config):
    return dataclasses.replace(config, **{name: value})
  if callable(config):  # A partial of a partial is one that binds more.
    return functools.partial(config, **{name: value})
  return config._replace(**{name: value})


def _no_such_name(full, name, members, at):
  near = difflib.get_close_matches(name, members, n=3, cutoff=0.5)
  there = f'did you mean {", ".join(near)}? ' if near else ''
  inside = f'in {at} ' if at else ''
  return (
    f'there is no {full}; {there}the names {inside}are '
    f'{", ".join(sorted(members))}'
  )


def _imported(text, name):
  module, _, attribute = text.rpartition('.')
  try:
    return getattr(importlib.import_module(module), attribute)
  except (ImportError, AttributeError, ValueError) as e:
    raise OverrideError(
      f'{name} takes a function by its import path, such as '
      f'rlhf_jax.kernels.divergences.k3, and {text!r} is none: {e}'
    ) from e
