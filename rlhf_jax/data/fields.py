"""What the fields of a line may hold, said once, as data.

A schema maps each field's name to a parser: a function of the JSON value that
returns what a reader uses, or raises Fault with what is wrong. So a new file
format is a schema and a few lines of `readers.py`.
"""

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rlhf_jax.data import jsonl, names
from rlhf_jax.types import Message

Parser = Callable[[Any], Any]


class Fault(ValueError):
  """A fault in a line: a clause ('must be a text') and its subject."""

  def __init__(self, clause: str, place: str = ''):
    super().__init__(f'{place or "the line"} {clause}')
    self.clause = clause
    self.place = place


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
    try:
      yield jsonl.Row(where, parse(given))
    except Fault as fault:
      raise jsonl.DataError(f'{where}: {fault}') from None


def object_of(schema: Schema) -> Parser:
  """An object with the fields of a schema, and no others."""

  def parse(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
      raise Fault(f'must be an object, not {_kind(value)}.')
    for name in value:
      if name not in schema:
        raise Fault(
          f'has an unknown field {name!r}{names.nearest(name, schema)} '
          f'Its fields are {", ".join(schema)}.'
        )
    return {name: _field(value, name, schema[name]) for name in schema}

  return parse


def _field(given: Mapping[str, Any], name: str, parser: Parser | Optional):
  if isinstance(parser, Optional):
    if name not in given:
      return parser.default
    parser = parser.parser
  if name not in given:
    raise Fault(f'has no field {name!r}, only {", ".join(given) or "none"}.')
  with _within(f'field {name!r}'):
    return parser(given[name])


@contextlib.contextmanager
def _within(place: str):
  try:
    yield
  except Fault as fault:
    raise Fault(fault.clause, f'{place} {fault.place}'.strip()) from None


def list_of(parser: Parser, *, least: int = 0) -> Parser:
  """A list, each item of which `parser` reads."""

  def parse(value: Any) -> list[Any]:
    if not isinstance(value, list):
      raise Fault(f'must be a list, not {_kind(value)}.')
    if len(value) < least:
      raise Fault(f'must hold {least} or more, and holds {len(value)}.')
    items = []
    for i, item in enumerate(value, start=1):
      with _within(f'item {i}'):
        items.append(parser(item))
    return items

  return parse


def anything(value: Any) -> Any:
  """A field that is known and not used."""
  return value


def text(value: Any) -> str:
  """A text, which may be empty."""
  if not isinstance(value, str):
    raise Fault(f'must be a text, not {_kind(value)}.')
  try:
    value.encode()
  except UnicodeEncodeError as error:
    half = value[error.start]
    raise Fault(f'holds half a character, {half!r}; write it whole.') from None
  return value


def filled(value: Any) -> str:
  """A text that says something."""
  if not text(value).strip():
    raise Fault('is empty; give it a text or remove the line.')
  return value


def number(value: Any) -> float:
  """A finite number."""
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise Fault(f'must be a number, not {_kind(value)}.')
  if not math.isfinite(value):
    raise Fault(f'must be a finite number, not {value}.')
  return float(value)


def turns(value: Any) -> tuple[Message, ...]:
  """A conversation that the user has the last word in.

  The user and the assistant take turns; the system may speak first.
  """
  messages = tuple(Message(**m) for m in _messages(value))
  spoken = messages[messages[0].role == 'system' :]
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


def _role(value: Any) -> str:
  roles = ('user', 'assistant', 'system')
  if value not in roles:
    raise Fault(f'must be one of {", ".join(roles)}, not {value!r}.')
  return value


_messages = list_of(object_of({'role': _role, 'content': filled}), least=1)


def _kind(value: Any) -> str:
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
