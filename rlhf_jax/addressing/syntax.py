"""Statements of Python files and cells, and the names that they use."""

import ast
import functools
import importlib.util
import linecache
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from rlhf_jax.addressing import description

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

# 'logps.token_logps' is ('logps', 'token_logps').
DottedName = tuple[str, ...]


class NoSourceError(TypeError):
  """Code whose source cannot be found, so that it cannot be hashed."""


class Statement(NamedTuple):
  """A statement, less its docstrings.

  Attributes:
    text: its syntax tree, in words.
    names: the names in it, with their attributes.
    imports: those inside of functions, as in Module.
  """

  text: str
  names: frozenset[DottedName]
  imports: frozenset[tuple[str, DottedName]]


class Module(NamedTuple):
  """The top level of a file.

  Attributes:
    bound: the statements that make or change what a name means.
    imported: name -> the module, and the name there; () for the module itself.
    starred: modules that all names are imported from.
  """

  bound: Mapping[str, list[Statement]]
  imported: Mapping[str, tuple[str, DottedName]]
  starred: list[str]


def node(function) -> ast.AST:
  """The syntax tree of a function, as its file or its cell has it."""
  code = function.__code__
  lines = linecache.getlines(code.co_filename, function.__globals__)
  found = [
    n for n in _nodes(''.join(lines)) if _begins(n) == code.co_firstlineno
  ]
  if code.co_name == '<lambda>':
    found = [n for n in found if isinstance(n, ast.Lambda) and _spans(n, code)]
  else:
    found = [n for n in found if getattr(n, 'name', None) == code.co_name]
  if not found:
    raise NoSourceError(
      f'{description.import_path(function)} has no source, so that nothing '
      'tells it from another; write it in a file, or in a cell of a notebook'
    )
  return found[-1]  # The innermost.


@functools.lru_cache(maxsize=64)
def _nodes(text: str) -> list[ast.AST]:
  kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
  try:
    tree = ast.parse(text)
  except SyntaxError:  # Of a cell with magic commands, IPython keeps the rest.
    return []
  return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def _begins(node) -> int:
  decorators = getattr(node, 'decorator_list', [])
  return min([node.lineno, *(d.lineno for d in decorators)])


def _spans(node: ast.Lambda, code: types.CodeType) -> bool:
  """Whether all instructions of a lambda come from within this one's body."""
  body = node.body
  first = body.lineno, body.col_offset
  last = body.end_lineno, body.end_col_offset
  return all(
    first <= (line, column) and (end_line, end) <= last
    for line, end_line, column, end in code.co_positions()
    if None not in (line, end_line, column, end) and column != end
  )


@functools.lru_cache(maxsize=1024)
def parsed(text: str, package: str) -> Module:
  """The top level of a file's text.

  Args:
    text: of Python.
    package: that relative imports start from.

  Raises:
    SyntaxError: it is none.
  """
  bound: dict[str, list[Statement]] = {}
  imported: dict[str, tuple[str, DottedName]] = {}
  starred: list[str] = []
  for outer in ast.parse(text).body:
    # What a function imports is its own; what a branch does is the module's.
    inside = [] if isinstance(outer, DEFINITIONS) else ast.walk(outer)
    for name, source, inner in _imports(inside, package):
      if name == '*':
        starred.append(source)
      else:
        imported[name] = source, inner
    if not isinstance(outer, ast.Import | ast.ImportFrom):
      found = statement(outer, package)
      for name in _binds(outer):
        bound.setdefault(name, []).append(found)
  return Module(bound, imported, starred)


def _imports(
  nodes: Iterable[ast.AST], package: str
) -> Iterator[tuple[str, str, DottedName]]:
  """(name, module, name there) of what nodes import; () for a module itself.

  The name of all that a module has is '*'.
  """
  for part in nodes:
    if isinstance(part, ast.Import):
      for alias in part.names:
        top = alias.name.split('.')[0]
        yield alias.asname or top, alias.name if alias.asname else top, ()
    elif isinstance(part, ast.ImportFrom):
      dots = '.' * part.level
      source = importlib.util.resolve_name(dots + (part.module or ''), package)
      for alias in part.names:
        inner = () if alias.name == '*' else (alias.name,)
        yield alias.asname or alias.name, source, inner


def _binds(node: ast.stmt) -> set[str]:
  """The names that a statement at the top gives a meaning, or changes."""
  if isinstance(node, DEFINITIONS):
    return {node.name}
  names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
  stored = {n.id for n in names if isinstance(n.ctx, ast.Store)}
  defined = {n.name for n in ast.walk(node) if isinstance(n, DEFINITIONS)}
  return stored | defined | set(_changes(node))


def _changes(node: ast.stmt) -> Iterator[str]:
  """The names of what a statement may change that it binds no name to.

  As `TABLE` in `TABLE['a'] = 1` and `TABLE.update(a=1)`, and `Batch` in
  `register(Batch)`.
  """
  touched = []
  if isinstance(node, ast.Assign | ast.AugAssign | ast.Delete):
    touched = getattr(node, 'targets', None) or [node.target]
  elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
    call = node.value
    yield from (a.id for a in call.args if isinstance(a, ast.Name))
    touched = [call.func] if isinstance(call.func, ast.Attribute) else []
  for part in touched:
    while isinstance(part, ast.Attribute | ast.Subscript | ast.Call):
      part = part.func if isinstance(part, ast.Call) else part.value
    if isinstance(part, ast.Name):
      yield part.id


def statement(outer: ast.AST, package: str = '') -> Statement:
  """A node with all that is in it.

  Args:
    outer: of a syntax tree; loses its docstrings.
    package: as of `parsed`.
  """
  names, inside = set(), set()
  for part in ast.walk(outer):
    body = getattr(part, 'body', None)
    if isinstance(body, list):
      part.body = [piece for piece in body if not _is_docstring(piece)]
    if isinstance(part, ast.Attribute | ast.Name) and part not in inside:
      dotted = []
      while isinstance(part, ast.Attribute):
        dotted.append(part.attr)
        part = part.value
        inside.add(part)
      if isinstance(part, ast.Name):
        names.add((part.id, *reversed(dotted)))
  imports = {found[1:] for found in _imports(ast.walk(outer), package)}
  return Statement(_text(outer), frozenset(names), frozenset(imports))


def _text(node: Any) -> str:
  """A syntax tree in words that are the same in all versions of Python."""
  if isinstance(node, list):
    return f'[{", ".join(map(_text, node))}]'
  if not isinstance(node, ast.AST):
    return repr(node)
  fields = [
    f'{name}={_text(value)}'
    for name, value in ast.iter_fields(node)
    if name not in ('ctx', 'kind', 'type_comment') and value not in (None, [])
  ]
  return f'{type(node).__name__}({", ".join(fields)})'


def _is_docstring(node: ast.stmt) -> bool:
  return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
