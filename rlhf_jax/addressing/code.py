"""Hashes of the code that functions run.

The hash of a definition at the top of a module covers its text and, through
imports, all definitions that it names, directly or not. It does not cover
comments, docstrings, layout, names of modules, the standard library and
installed packages. A method counts as its class. A module that is passed as a
value counts as a whole.

Another function (a lambda, a closure, one of a notebook's cell) is hashed by
its text, the values that it closes over and its defaults; in a notebook, also
by the global values that it names.
"""

import importlib.util
import inspect
import linecache
import pathlib
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from rlhf_jax.addressing import description, syntax
from rlhf_jax.addressing.syntax import DottedName, Module, NoSourceError

LIBRARY = 'rlhf_jax'
# Modules without influence on results: messages, checks, locks, logs.
WITHOUT_INFLUENCE = tuple(
  f'{LIBRARY}.{name}'
  for name in (
    'addressing',
    'data.names',
    'experiment.locks',
    'experiment.sample_log',
    'experiment.validation',
    'progress',
    'storage',
    'training.metrics',
    'training.stopping',
    'types.calls',
    'types.rules',
    'types.values',
  )
)

# Where packages are installed.
INSTALLED = frozenset({'site-packages', 'dist-packages'})


class Definition(NamedTuple):
  """A name at the top of a module."""

  module: str
  name: str


class Code:
  """Hashes code as it is in its files now; every file is read once."""

  def __init__(self):
    linecache.checkcache()
    self._files: dict[str, pathlib.Path | None] = {}
    self._modules: dict[str, Module] = {}
    self._names: dict[Definition, str] = {}
    self._in_progress: list[int] = []

  def describe(self, value: Any) -> Any:
    """A value as JSON, functions and classes with the hash of their code.

    Raises:
      NoSourceError: a function that has no source.
      TypeError: a value that has no description.
    """
    return description.describe(value, self.name)

  def digest(self, *values: Any) -> str:
    """A hash of the values' descriptions."""
    return description.digest(*map(self.describe, values))

  def name(self, thing: Any) -> str:
    """The name of a function or class, with the hash of its code.

    The same in every process and on every machine. Those of installed packages
    are named by their import path alone.

    Raises:
      NoSourceError: it has no source, or something that it names has none.
    """
    thing = inspect.unwrap(thing)
    if self._counts_by_name(thing):
      return description.import_path(thing)
    top = self._definition(thing)
    if top in self._names:
      return self._names[top] + thing.__qualname__
    if id(thing) in self._in_progress:
      return 'itself'
    self._in_progress.append(id(thing))
    try:
      texts, waiting, values = [], [top], []
      if top is None:
        texts, waiting, values = self._local(thing)
      texts += self._all_texts(waiting)
      said = description.digest(sorted(texts), values) + ' '
    finally:
      self._in_progress.pop()
    if top is not None:
      self._names[top] = said
    return said + thing.__qualname__

  def _definition(self, thing) -> Definition | None:
    """The definition in a file of a thing, or of its class; None without."""
    top = Definition(thing.__module__, thing.__qualname__.split('.')[0])
    code = getattr(thing, '__code__', None)
    file = self._file(top.module)
    if file is None or '<' in thing.__qualname__:
      return None
    if code is not None and pathlib.Path(code.co_filename) != file:
      return None
    return top if top.name in self._module(top.module).bound else None

  def _counts_by_name(self, thing: Any) -> bool:
    """Whether its name is all that counts: the code is not looked at."""
    module = getattr(thing, '__module__', None)
    if not isinstance(module, str) or _is_standard(module):
      return True
    return self._file(module) is None and _path(module) is not None

  def _file(self, module: str) -> pathlib.Path | None:
    """The file of a module that counts: of the library, or of no package."""
    if module not in self._files:
      path, top = _path(module), module.split('.')[0]
      is_ours = top == LIBRARY and not _is_without_influence(module)
      is_theirs = top != LIBRARY and not _is_standard(module)
      if is_theirs and path is not None:
        is_theirs = not INSTALLED.intersection(pathlib.Path(path).parts)
      counts = path is not None and path.endswith('.py')
      self._files[module] = (
        pathlib.Path(path) if counts and (is_ours or is_theirs) else None
      )
    return self._files[module]

  def _module(self, name: str) -> Module:
    if name not in self._modules:
      file = self._file(name)
      is_package = file.stem == '__init__'
      package = name if is_package else name.rpartition('.')[0]
      self._modules[name] = syntax.parsed(
        file.read_text(encoding='utf-8'), package
      )
    return self._modules[name]

  def _all_texts(self, waiting: Iterable[Definition]) -> set[str]:
    """The texts of definitions, and of all definitions that these name."""
    texts, seen, waiting = set(), set(), list(waiting)
    while waiting:
      here = waiting.pop()
      if here not in seen:
        seen.add(here)
        for statement in self._module(here.module).bound[here.name]:
          texts.add(statement.text)
          for dotted in statement.names:
            waiting += self._resolve(here.module, dotted)
          for module, dotted in statement.imports:
            waiting += self._resolve_in(module, dotted)
    return texts

  def _resolve(self, module: str, dotted: DottedName) -> Iterator[Definition]:
    """The definitions that a dotted name refers to in a module."""
    name, *rest = dotted
    found = self._module(module)
    if name in found.bound:
      yield Definition(module, name)
    if name in found.imported:
      source, inner = found.imported[name]
      yield from self._resolve_in(source, (*inner, *rest))
    elif name not in found.bound:
      for source in found.starred:
        if self._file(source) is not None:
          yield from self._resolve(source, dotted)

  def _resolve_in(
    self, module: str, dotted: DottedName
  ) -> Iterator[Definition]:
    """The definitions of `module.dotted`; all of the module for ()."""
    if self._file(module) is None:
      return
    found = self._module(module)
    if not dotted:
      yield from (Definition(module, name) for name in found.bound)
      return
    name, *rest = dotted
    inner = f'{module}.{name}'
    here = module, (name,)
    is_own = name in found.bound or found.imported.get(name, here) != here
    if not is_own and self._file(inner) is not None:
      yield from self._resolve_in(inner, tuple(rest))
    else:
      # A submodule that its package imports by its own name ends above.
      yield from self._resolve(module, dotted)

  def _local(self, thing) -> tuple[list[str], list[Definition], list[Any]]:
    """Texts, definitions and values of a closure, lambda or local class."""
    if not inspect.isclass(thing):
      return self._function(thing)
    texts = [thing.__qualname__]
    waiting, values = [], [self.name(base) for base in thing.__bases__]
    for name, value in sorted(vars(thing).items()):
      inner = getattr(value, 'fget', None) or getattr(value, 'func', None)
      inner = inspect.unwrap(inner or getattr(value, '__func__', value))
      if isinstance(inner, types.FunctionType):
        if not _is_generated(inner):
          own = self._function(inner)
          texts += own[0]
          waiting += own[1]
          values += own[2]
      elif not name.startswith('_'):
        values.append([name, self.describe(value)])
    hints = getattr(thing, '__annotations__', {})
    return texts + [f'{name}: {hints[name]}' for name in hints], waiting, values

  def _function(self, function) -> tuple[list[str], list[Definition], list]:
    """Its text, the definitions that it names, and the values that it reads."""
    statement = syntax.statement(syntax.node(function))
    closed = inspect.getclosurevars(function).nonlocals
    module = function.__module__
    in_file = self._file(module) == pathlib.Path(function.__code__.co_filename)
    known = closed if in_file else {**function.__globals__, **closed}
    waiting, held = [], {}
    for dotted in sorted(statement.names):
      if dotted[0] in known:
        waiting += self._resolve_value(known[dotted[0]], dotted, held)
      elif in_file:
        waiting += self._resolve(module, dotted)
    for source, dotted in statement.imports:
      waiting += self._resolve_in(source, dotted)
    held['defaults'] = [function.__defaults__, function.__kwdefaults__]
    return [statement.text], waiting, [self._described(function, held)]

  def _resolve_value(self, value, dotted, held) -> Iterator[Definition]:
    """The definitions that `dotted` refers to, its first name being `value`.

    What is no definition goes into `held`, by that name.
    """
    rest = dotted[1:]
    while isinstance(value, types.ModuleType):
      if self._file(value.__name__) is not None:
        yield from self._resolve_in(value.__name__, rest)
        return
      if not rest or not hasattr(value, rest[0]):
        return
      value, rest = getattr(value, rest[0]), rest[1:]
    held[dotted[0]] = value

  def _described(self, function, held: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in sorted(held.items()):
      try:
        found[name] = self.describe(value)
      except NoSourceError:
        raise
      except TypeError as error:
        raise NoSourceError(
          f'{description.import_path(function)} reads {name}, a '
          f'{type(value).__name__}, whose content nothing tells from another; '
          'hand it numbers and texts, or give the class a method '
          'fingerprint() -> str that tells'
        ) from error
    return found


def _path(module: str) -> str | None:
  """The file of a module, loaded or not; None where there is none."""
  loaded = sys.modules.get(module)
  if loaded is not None:
    path = getattr(loaded, '__file__', None)
    return None if path == '<stdin>' else path
  try:
    spec = importlib.util.find_spec(module)
  except (ImportError, ValueError, AttributeError):
    return None
  return spec.origin if spec is not None and spec.has_location else None


def _is_standard(module: str) -> bool:
  top = module.split('.')[0]
  return top in sys.stdlib_module_names and top != '__main__'


def _is_without_influence(module: str) -> bool:
  return any(f'{module}.'.startswith(f'{name}.') for name in WITHOUT_INFLUENCE)


def _is_generated(function) -> bool:
  """Whether a function was generated, as dataclasses do."""
  return function.__code__.co_filename.startswith('<string>')
