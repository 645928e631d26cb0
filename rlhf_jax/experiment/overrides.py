"""Setting values deep inside a config by their dotted names."""

import contextlib
import dataclasses
import difflib
import functools
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rlhf_jax.addressing import field_values
from rlhf_jax.experiment.parsing import OverrideError, parse
from rlhf_jax.types import calls, values


def build(module: Any, assignments: Sequence[str]) -> Any:
  """The experiment of a file, with settings and values set.

  Args:
    module: the file: `Settings`, and `config` of them.
    assignments: `NAME=VALUE`, of a setting or of any value of the experiment.

  Raises:
    OverrideError: naming what is wrong and the nearest valid names.
  """
  settings = module.Settings()
  names = field_values(settings)
  outer, inner = [], []
  for assignment in assignments:
    name, equals, text = assignment.partition('=')
    if not equals:
      raise OverrideError(
        f'--set takes NAME=VALUE, and {assignment!r} has no "="'
      )
    root, _, rest = name.partition('.')
    # Nothing is inside a text: where a setting is one, `model` or `data`, the
    # values inside are those of the experiment.
    of_settings = root in names and not (rest and isinstance(names[root], str))
    (outer if of_settings else inner).append((name, text))
  settings = apply(settings, outer)
  try:
    experiment = module.config(settings)
  except values.ValueRuleError as e:
    # Of a value that the file works out from what was set, if anything was.
    named = ', '.join(name for name, _ in outer)
    raise OverrideError(f'{named}: {e}' if outer else str(e)) from e
  for root in (name.split('.')[0] for name, _ in inner):
    if root not in field_values(experiment):
      both = {**names, **field_values(experiment)}
      raise OverrideError(_no_such_name(root, root, both, ''))
  return apply(experiment, inner)


@contextlib.contextmanager
def naming(name: str, value: Any) -> Iterator[None]:
  """Says of what a file refuses in the block which of its settings it is.

  Raises:
    OverrideError: '--set NAME=VALUE: …', of a ValueError in the block.
  """
  try:
    yield
  except ValueError as error:
    raise OverrideError(f'--set {name}={value}: {error}') from error


def apply(
  config: Any,
  assignments: Sequence[tuple[str, str]],
  *,
  at: str = '',
  annotation: Any = None,
) -> Any:
  """A copy of `config` with several values set.

  Their order does not matter, but that the last of one name counts: what holds
  between values is looked at once all are set.

  Args:
    config: a dataclass, NamedTuple, mapping or function, however deep; a
      function's members are its keyword-only options.
    assignments: (path, text) pairs. A path is dotted, as
      `stages.ppo.config.kl_coef`; the text is read by `parsing.parse`. A
      function keeps those options that were bound to the one before and that it
      takes too.
    at: the name of `config` itself, for messages.
    annotation: of the place of `config`, which says what a mapping holds.

  Raises:
    OverrideError: naming what is wrong and the nearest valid names.
  """
  if not assignments:
    return config
  members = _members(config)
  given: dict[str, list[tuple[str, str]]] = {}
  for path, text in assignments:
    name, rest = _split(path, members or ())
    full = f'{at}.{name}' if at else name
    if members is None:
      raise OverrideError(_no_members(config, at, full))
    if name not in members:
      raise OverrideError(_no_such_name(full, name, members, at))
    given.setdefault(name, []).append((rest, text))
  changed = {
    name: _member(config, name, members[name], texts, at, annotation)
    for name, texts in given.items()
  }
  return _replace(config, changed, [path for path, _ in assignments], at)


def _member(config, name, value, texts, at, annotation):
  """A member with its new value: the member as a whole first, then its own."""
  full = f'{at}.{name}' if at else name
  own = _annotation(config, name, annotation)
  whole = [text for rest, text in texts if not rest]
  if whole:
    now = parse(whole[-1], value, own, full)
    value = _rebound(value, now)
  inner = [(rest, text) for rest, text in texts if rest]
  if value is None and inner:
    value = _of_defaults(own)
  return apply(value, inner, at=full, annotation=own)


def _of_defaults(annotation):
  """The dataclass that a place may hold, as it is by default; None for none."""
  for kind in values.alternatives(values.unwrapped(annotation)[0]):
    if dataclasses.is_dataclass(kind):
      with contextlib.suppress(TypeError):  # It has values that must be given.
        return kind()
  return None


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
  """{option: its bound value, or else its default or None} of a function."""
  defaults = {
    name: None if option.default is option.empty else option.default
    for name, option in calls.options(function).items()
  }
  return defaults | getattr(function, 'keywords', {})


def _rebound(before, now):
  """The function `now`, with the options that were bound to the one before."""
  if not isinstance(before, functools.partial) or not callable(now):
    return now
  taken = calls.options(now).keys() - getattr(now, 'keywords', {}).keys()
  kept = {name: x for name, x in before.keywords.items() if name in taken}
  return functools.partial(now, **kept) if kept else now


def _annotation(config, name, whole=None):
  """Of a member, by its class, its function, or the mapping's annotation."""
  if isinstance(config, Mapping):
    of = typing.get_args(values.unwrapped(whole)[0]) if whole else ()
    return of[1] if len(of) == 2 else None
  if isinstance(config, functools.partial):
    return _annotation(config.func, name)
  owner = config if field_values(config) is None else type(config)
  return values.hints(owner).get(name)


def _replace(config, changed, paths, at):
  """A copy with these members, all of them checked."""
  try:
    if isinstance(config, Mapping):
      return {**config, **changed}
    if dataclasses.is_dataclass(config):
      return dataclasses.replace(config, **changed)
    if callable(config):  # A partial of a partial is one that binds more.
      return functools.partial(config, **changed)
    replaced = config._replace(**changed)
    values.check(replaced)
    return replaced
  except values.ValueRuleError as e:
    raise OverrideError(e.inside(at)) from e
  except OverrideError:
    raise
  except ValueError as e:
    named = ', '.join(f'{at}.{path}' if at else path for path in paths)
    raise OverrideError(f'{named}: {e}') from e


def _no_members(config, at, full):
  if config is None:
    return f'{at} is none here, so there is no {full}; set {at} in Python'
  return f'{at} is a single value; there is no {full} to set'


def _no_such_name(full, name, members, at):
  near = difflib.get_close_matches(name, members, n=3, cutoff=0.5)
  there = f'did you mean {", ".join(near)}? ' if near else ''
  inside = f'in {at} ' if at else ''
  return (
    f'there is no {full}; {there}the names {inside}are '
    f'{", ".join(sorted(members))}'
  )
