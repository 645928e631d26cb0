"""Schemas of lines of JSON: which fields there are, and what they may hold.

A schema maps each field's name to a parser: a function of the JSON value that
returns what a reader uses, or raises Fault with what is wrong.
"""

import contextlib
import dataclasses
import math
import pathlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rlhf_jax.data import jsonl, names
from rlhf_jax.types import Message

Parser = Callable[[Any], Any]

LARGEST = 1e38  # Two of them differ by less than the largest float32.


class Fault(ValueError):
  """A fault in a line: a clause ('must be a text') and its subject."""

  def __init__(self, clause: str, place: str = ''):
    super().__init__(f'{place or "the line"} {clause}')
    self.clause = clause
    self.place = place

  def within(self, place: str) -> 'Fault':
    """The same fault, in a larger place."""
    return Fault(self.clause, f'{place} {self.place}'.strip())


@dataclasses.dataclass(frozen=True)
class Optional:
  """Marks a field that a line may leave out."""

  parser: Parser
  default: Any = None


Schema = Mapping[str, Parser | Optional]


def read(path: str | pathlib.Path, schema: Schema) -> Iterator[jsonl.Row]:
  """Yields the rows of a file with their fields parsed.

  Raises:
    DataError: a field is missing, unknown or not what it must be.
  """
  parse = object_of(schema)
  for where, given in jsonl.read(path):
    with placed(where):
      row = parse(given)
    yield jsonl.Row(where, row)


@contextlib.contextmanager
def placed(where: str):
  """Turns a Fault into a DataError that names the line at `where`."""
  try:
    yield
  except Fault as fault:
    raise jsonl.DataError(f'{where}: {fault}') from None
  except RecursionError:
    raise jsonl.too_deep(where) from None


def object_of(schema: Schema) -> Parser:
  """An object with the fields of a schema, and no others."""
  parsers, defaults = {}, {}
  for name, parser in schema.items():
    if isinstance(parser, Optional):
      defaults[name], parser = parser.default, parser.parser
    parsers[name] = parser

  def parse(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
      raise Fault(f'must be an object, not {kind(value)}.')
    if not value.keys() <= parsers.keys():
      name = next(name for name in value if name not in parsers)
      raise Fault(
        f'has an unknown field {names.quoted(name)}'
        f'{names.nearest(name, parsers)} Its fields are {", ".join(parsers)}.'
      )
    read = defaults.copy()
    for name, given in value.items():
      try:
        read[name] = parsers[name](given)
      except Fault as fault:
        raise fault.within(f'field {name!r}') from None
    check_required([n for n in parsers if n not in defaults], value)
    return read

  return parse


def check_required(required: Iterable[str], given: Iterable[str]) -> None:
  """Refuses a row that lacks a field."""
  missing = [name for name in required if name not in given]
  if missing:
    there = names.listed(given) or 'none'
    raise Fault(f'has no field {missing[0]!r}, only {there}.')


def list_of(parser: Parser, *, least: int = 0) -> Parser:
  """A list, each item of which `parser` reads."""

  def parse(value: Any) -> list[Any]:
    if not isinstance(value, list):
      raise Fault(f'must be a list, not {kind(value)}.')
    if len(value) < least:
      raise Fault(f'must hold {least} or more, and holds {len(value)}.')
    items = []
    for i, item in enumerate(value, start=1):
      try:
        items.append(parser(item))
      except Fault as fault:
        raise fault.within(f'item {i}') from None
    return items

  return parse


def or_null(parser: Parser, default: Any = None) -> Optional:
  """A field that may be left out or null; both are read as the default."""

  def parse(value: Any) -> Any:
    return default if value is None else parser(value)

  return Optional(parse, default)


def anything(value: Any) -> Any:
  """The parser of a field that is known and not used."""
  return value


def text(value: Any) -> str:
  """A text, which may be empty."""
  if not isinstance(value, str):
    raise Fault(f'must be a text, not {kind(value)}.')
  if value.isascii():
    return value
  try:
    value.encode()
  except UnicodeEncodeError as error:
    half = value[error.start]
    raise Fault(f'holds half a character, {half!r}; write it whole.') from None
  return value


def filled(value: Any) -> str:
  """A text that says something."""
  if not visible(text(value)):
    raise Fault('is empty; give it a text or remove the line.')
  return value


def name(value: Any) -> str:
  """A name that is only shown: a text, or a number's; '' of what is neither."""
  if type(value) in (int, float):
    return f'{value:g}'
  return text(value) if isinstance(value, str) else ''


IGNORED = Optional(anything)
TEXT_OR_EMPTY = Optional(text, '')
NAME = Optional(name, '')


def ignored(names: str) -> Schema:
  """Fields that are known and not used, their names with spaces between."""
  return dict.fromkeys(names.split(), IGNORED)


# Letters and symbols that show nothing, though Unicode counts them as such.
_BLANK = '\u115f\u1160\u2800\u3164\uffa0'


def visible(said: str) -> bool:
  """Whether a text shows anything: not space, control or format alone."""
  first = said[:1]
  return (first.isascii() and first.isalnum()) or any(
    c.isprintable()
    and not c.isspace()
    and c not in _BLANK
    and not unicodedata.category(c).startswith('M')
    for c in said
  )


def number(value: Any) -> float:
  """A finite number, of a size that arrays hold too."""
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise Fault(f'must be a number, not {kind(value)}.')
  try:
    read = float(value)
  except OverflowError:
    read = math.inf
  if not math.isfinite(read):
    raise Fault(f'must be a finite number, not {read}.')
  if abs(read) > LARGEST:
    raise Fault(f'must be between ±{LARGEST:g}, not {read:g}.')
  return read


def flag(value: Any) -> bool:
  """True or false."""
  if not isinstance(value, bool):
    raise Fault(f'must be true or false, not {kind(value)}.')
  return value


def turns(value: Any) -> tuple[Message, ...]:
  """A list of messages, as `asked`."""
  return asked(tuple(Message(**m) for m in _messages(value)))


def asked(messages: tuple[Message, ...]) -> tuple[Message, ...]:
  """A conversation that ends with the user, who alternates with the assistant.

  The system may speak first.
  """
  spoken = messages[bool(messages) and messages[0].role == 'system' :]
  for i, message in enumerate(spoken):
    expected = ('user', 'assistant')[i % 2]
    if message.role != expected:
      raise Fault(
        f'must alternate user and assistant, and item '
        f'{len(messages) - len(spoken) + i + 1} is of role {message.role!r} '
        f'where {expected!r} is due.'
      )
  if not len(spoken) % 2:
    raise Fault("must end with a 'user' turn, which the response answers.")
  return messages


def role(value: Any) -> str:
  """Whose turn a message is: the user's, the assistant's, the system's."""
  roles = ('user', 'assistant', 'system')
  if value not in roles:
    given = names.quoted(value) if isinstance(value, str) else kind(value)
    raise Fault(f'must be one of {", ".join(roles)}, not {given}.')
  return value


_messages = list_of(object_of({'role': role, 'content': filled}), least=1)


def kind(value: Any) -> str:
  """What a JSON value is, in words."""
  kinds = {
    str: 'a text',
    bool: 'true or false',
    int: 'a number',
    float: 'a number',
    list: 'a list',
    dict: 'an object',
    type(None): 'null',
  }
  return kinds[type(value)]
