"""What a chat template does with contents, told from its text alone."""

import functools

from jinja2 import nodes

from rlhf_jax.data import chat_jinja

# All that a template may be made of for `only_writes` to follow it.
STATEMENTS = (
  nodes.Template,
  nodes.Output,
  nodes.For,
  nodes.If,
  nodes.Assign,
  nodes.Break,
  nodes.Continue,
)
STRIPS = ('strip', 'lstrip', 'rstrip')
# Tests of the type, which is a text's; of being there.
TYPES = ('string', 'defined', 'undefined', 'none', 'mapping', 'iterable')
LOOP = ('index', 'index0', 'revindex', 'revindex0', 'first', 'last', 'length')

# What an expression may be that has contents in it.
MESSAGES, MESSAGE, CONTENT = 'messages', 'message', 'content'


@functools.lru_cache(maxsize=16)
def looked_for(source: str) -> tuple[str, ...]:
  """Texts that a template may look for in contents: '</think>'."""
  kinds = (nodes.Call, nodes.Compare, nodes.Filter, nodes.Test)
  constants = {
    constant.value
    for node in chat_jinja.parsed(source).find_all(kinds)
    for constant in node.find_all(nodes.Const)
  }
  texts = {c for c in constants if isinstance(c, str) and c.strip()}
  return tuple(sorted(texts))


@functools.lru_cache(maxsize=16)
def only_writes(source: str) -> bool:
  """Whether a template does no more with contents than to write them.

  Then what it writes around them is the same for all, as long as nothing is
  left of none: contents are put beside texts, set as variables and stripped of
  spaces at their ends, and nothing is decided by them. False where that cannot
  be told; so also of macros and whatever else writes into a variable.
  """
  return _Uses(chat_jinja.parsed(source)).are_writing()


class _Uses:
  """The expressions of a template that have contents in them."""

  def __init__(self, tree: nodes.Template):
    self._tree = tree
    self._kinds = {MESSAGES: MESSAGES}  # Of variables, by name.
    while self._name():
      pass
    self._stripping = {
      call.node for call in tree.find_all(nodes.Call) if self._strips(call)
    }

  def are_writing(self) -> bool:
    """Whether contents are written, and nothing is done with them besides."""
    return all(
      isinstance(node, STATEMENTS) for node in self._tree.find_all(nodes.Stmt)
    ) and all(
      self._fits(node, parent)
      for parent in [self._tree, *self._tree.find_all(nodes.Node)]
      for node in parent.iter_child_nodes()
    )

  def _name(self) -> bool:
    """Takes the kinds of what is assigned; whether there was a new one."""
    before = len(self._kinds)
    for node in self._tree.find_all((nodes.Assign, nodes.For)):
      if isinstance(node, nodes.For):
        kind = MESSAGE if self._kind(node.iter) == MESSAGES else None
      else:
        kind = self._kind(node.node)
      if kind is not None and isinstance(node.target, nodes.Name):
        self._kinds.setdefault(node.target.name, kind)
    return len(self._kinds) > before

  def _kind(self, node: nodes.Node) -> str | None:
    """What an expression is; None of one without contents."""
    match node:
      case nodes.Name(name=name):
        return self._kinds.get(name)
      case nodes.Getitem(node=inner) if self._kind(inner) == MESSAGES:
        return MESSAGES if isinstance(node.arg, nodes.Slice) else MESSAGE
      case nodes.Getitem() | nodes.Getattr():
        written = self._kind(node.node) == MESSAGE and _field(node) == CONTENT
      case nodes.Add(left=left, right=right):
        written = CONTENT in (self._kind(left), self._kind(right))
      case nodes.Concat(nodes=inner):
        written = CONTENT in map(self._kind, inner)
      case nodes.CondExpr(expr1=one, expr2=other):
        written = CONTENT in (self._kind(one), other and self._kind(other))
      case nodes.Filter():
        written = _trims(node) and self._kind(node.node) == CONTENT
      case nodes.Call():
        written = self._strips(node)
      case _:
        return None
    return CONTENT if written else None

  def _strips(self, call: nodes.Call) -> bool:
    """Whether it is `content.strip()`, or the like."""
    function, further = call.node, (call.kwargs, call.dyn_args, call.dyn_kwargs)
    return (
      isinstance(function, nodes.Getattr)
      and function.attr in STRIPS
      and all(isinstance(a, nodes.Const) and a.value == '\n' for a in call.args)
      and not any(further)
      and self._kind(function.node) == CONTENT
    )

  def _fits(self, node: nodes.Node, parent: nodes.Node) -> bool:
    """Whether an expression stands where it writes contents, or none of it."""
    kind = self._kind(node)
    if isinstance(parent, nodes.Test) and parent.name in TYPES:
      return True
    if isinstance(parent, nodes.Assign) and node is parent.node:
      known = getattr(parent.target, 'name', None)
      return kind is None or (
        isinstance(parent.target, nodes.Name) and self._kinds[known] == kind
      )
    if kind == MESSAGES:
      counts = isinstance(parent, nodes.Filter) and parent.name == 'length'
      loops = isinstance(parent, nodes.For) and node is parent.iter
      named = loops and self._kinds.get(getattr(parent.target, 'name', None))
      taken = isinstance(parent, nodes.Getitem) and node is parent.node
      return counts or taken or named == MESSAGE or _is_target(node)
    if kind == MESSAGE:
      # Its methods give contents too.
      field = _field(parent)
      taken = field is not None and not hasattr(dict, field)
      return (taken and node is parent.node) or _is_target(node)
    if kind == CONTENT:
      writes = isinstance(parent, nodes.Output | nodes.Add | nodes.Concat)
      chosen = isinstance(parent, nodes.CondExpr) and node is not parent.test
      trimmed = _trims(parent) or parent in self._stripping
      return writes or chosen or trimmed or _is_target(node)
    if isinstance(node, nodes.Name) and node.name == 'loop':
      return _field(parent) in LOOP  # Others give its messages.
    return True


def _field(node: nodes.Node) -> str | None:
  """What is taken, where it is `x.name` or `x['name']`."""
  if isinstance(node, nodes.Getattr):
    return node.attr
  if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
    return node.arg.value if isinstance(node.arg.value, str) else None
  return None


def _trims(node: nodes.Node) -> bool:
  """Whether it is `x | trim`."""
  if not isinstance(node, nodes.Filter) or node.name != 'trim':
    return False
  return not any((node.args, node.kwargs, node.dyn_args, node.dyn_kwargs))


def _is_target(node: nodes.Node) -> bool:
  """Whether it is a name that is given a value."""
  return isinstance(node, nodes.Name) and node.ctx == 'store'
