"""Records as lines of JSON: what dataset stages write, and stages read."""

import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any

from rlhf_jax.storage import files
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Message,
  Prompt,
  Rated,
  Record,
  Response,
  Sampled,
  prompt_of,
)

KINDS = {
  kind.__name__: kind for kind in (Comparison, Demonstration, Rated, Sampled)
}


def row(record: Record) -> dict[str, Any]:
  """A record as a line of JSON: its kind, its prompt, and what it says."""
  prompt = prompt_of(record)
  return {
    'record': type(record).__name__,
    'messages': [message._asdict() for message in prompt.messages],
    'kind': prompt.kind,
    'condition': prompt.condition,
    'answer': prompt.answer,
  } | {k: _plain(v) for k, v in record._asdict().items() if k != 'prompt'}


def parse(line: dict[str, Any], where: str) -> Record:
  """The record of a line, its prompt's place being `where`."""
  said = dict(line)
  kind = KINDS[said.pop('record')]
  prompt = Prompt(
    tuple(Message(**m) for m in said.pop('messages')),
    said.pop('kind'),
    where,
    said.pop('condition'),
    said.pop('answer'),
  )
  said = {k: _read(v) for k, v in said.items()}
  if said.get('scores') is not None:
    said['scores'] = tuple(math.nan if x is None else x for x in said['scores'])
  return kind(prompt, **said)


def _plain(value: Any) -> Any:
  """A field as JSON: a response that was cut, or that has ids, is an object."""
  match value:
    case tuple():
      return [_plain(item) for item in value]
    case Response() if value.ids is not None or not value.ended:
      ids = {} if value.ids is None else {'ids': list(value.ids)}
      return {'text': str(value), 'ended': value.ended} | ids
    case float() if not math.isfinite(value):
      return None  # JSON has no word for it.
  return value


def _read(value: Any) -> Any:
  match value:
    case list():
      return tuple(_read(item) for item in value)
    case {'text': text, 'ended': ended}:
      return Response(text, ended=ended, ids=value.get('ids'))
  return value


def write(path: pathlib.Path, rows: Sequence[dict[str, Any]]) -> None:
  """Writes the lines whole or not at all."""
  files.write_lines(path, rows)


def read(path: pathlib.Path) -> list[Record]:
  """The records that a stage wrote."""
  lines = path.read_text().splitlines()
  return [
    parse(json.loads(line), f'{path}:{number}')
    for number, line in enumerate(lines, 1)
  ]
