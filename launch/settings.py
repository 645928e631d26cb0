"""What can be set of an experiment: every name, its value, its sentence.

Sentences are those of the docstrings: of a class's `Attributes:`, of a
function's `Args:`.
"""

import functools
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from rlhf_jax import progress

SECTIONS = ('Attributes:', 'Args:')
ENTRY = re.compile(r'(\w+(?:, \w+)*): (.+)')


class Setting(NamedTuple):
  """A value that `--set` can name.

  Attributes:
    name: dotted.
    value: as plain data.
    default: what the file says where nothing is set.
    sentence: what it is, or ''.
  """

  name: str
  value: Any
  default: Any
  sentence: str

  @property
  def text(self) -> str:
    """The value as `--set` takes it."""
    if self.value is None:
      return 'none'
    return self.value if isinstance(self.value, str) else json.dumps(self.value)

  @property
  def line(self) -> str:
    """`name = value  # default: …; sentence`."""
    said = [self.sentence] if self.sentence else []
    if self.value != self.default:
      said.insert(0, f'default: {json.dumps(self.default)}')
    line = f'{self.name} = {json.dumps(self.value)}'
    return f'{line}  # {"; ".join(said)}' if said else line


def of_file(module: ModuleType) -> list[Setting]:
  """The settings that an experiment file has itself."""
  settings = module.Settings()
  return listed(settings, settings)


def listed(value: Any, default: Any) -> list[Setting]:
  """Every value inside a config, beside that of the file's defaults."""
  from rlhf_jax.addressing import describe, flatten

  now, then = flatten(describe(value)), flatten(describe(default))
  found = dict(sentences(value))
  return [
    Setting(name, given, then.get(name), _sentence(name, found))
    for name, given in now.items()
  ]


def _sentence(name: str, known: Mapping[str, str]) -> str:
  """That of a value, or else of the one that it is a part of."""
  if name in known:
    return known[name]
  while name := name.rpartition('.')[0]:
    if name in known:
      return f'of {name.rpartition(".")[2]}: {known[name]}'
  return ''


def sentences(value: Any, at: str = '') -> Iterator[tuple[str, str]]:
  """(dotted name, its sentence) of all that a config holds."""
  from rlhf_jax.addressing import field_values

  members, said = {}, {}
  if isinstance(value, functools.partial):
    members, said = value.keywords, documented(value.func)
  elif inspect.ismethod(value):
    members = {'of': value.__self__}
  elif isinstance(value, Mapping):
    members = value
  elif (fields := field_values(value)) is not None:
    members = fields
    for owner in reversed(type(value).__mro__):
      said |= documented(owner)
  for name, member in members.items():
    full = f'{at}.{name}' if at else str(name)
    if name in said:
      yield full, said[name]
      if isinstance(member, functools.partial):
        yield f'{full}.function', said[name]
    yield from sentences(member, full)


def documented(owner: Any) -> dict[str, str]:
  """{name: its sentence} of a class's attributes or a function's arguments."""
  text = inspect.cleandoc(getattr(owner, '__doc__', None) or '')
  found, section, names = {}, False, ()
  for line in text.splitlines():
    if not line.startswith(' '):
      section, names = line.strip() in SECTIONS, ()
    elif section:
      entry = ENTRY.fullmatch(line.strip())
      indent = len(line) - len(line.lstrip())
      if entry and indent == 2:
        names = entry[1].split(', ')
        found |= dict.fromkeys(names, entry[2])
      elif indent > 2:
        found |= {name: f'{found[name]} {line.strip()}' for name in names}
  return found


def help_text(file: str, settings: Sequence[Setting]) -> str:
  """The part of `--help` on a file: its settings, one below the other."""
  lines = [
    f'settings of {file}, with their defaults:',
    *help_lines(settings),
    '--print-config lists every value behind them, with its sentence.',
  ]
  return '\n'.join(lines)


def help_lines(settings: Sequence[Setting]) -> list[str]:
  """How each is set, its default, and its sentence below it."""
  lines, room = [], progress.width(sys.stdout) - 2
  for setting in settings:
    name = setting.name.removesuffix('.function')
    if name.split('.')[-1] == 'type':
      continue
    lines.append(f'  --set {name}={setting.text}')
    lines += textwrap.wrap(
      setting.sentence, room, initial_indent=' ' * 6, subsequent_indent=' ' * 6
    )
  return lines
