"""Records as lines of JSON: what dataset stages write, and stages read."""

import json
import math
import pathlib
from typing import Any

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
  """A record as a line of JSON: its class, its prompt, and its other fields."""
  fields = {k: _plain(v) for k, v in record._asdict().items() if k != 'prompt'}
  return (
    {'record': type(record).__name__} | prompt_row(prompt_of(record)) | fields
  )


def prompt_row(prompt: Prompt) -> dict[str, Any]:
  """A prompt as JSON, without the place it came from."""
  return {
    'messages': [message._asdict() for message in prompt.messages],
    'kind': prompt.kind,
    'condition': prompt.condition,
    'answer': prompt.answer,
  }


def parse(line: dict[str, Any], where: str) -> Record:
  """The record of a line, its prompt's place being `where`."""
  kind = KINDS[line['record']]
  fields = {k: _read(line[k]) for k in kind._fields if k in line}
  if fields.get('scores') is not None:
    scores = (math.nan if x is None else x for x in fields['scores'])
    fields['scores'] = tuple(scores)
  return kind(parse_prompt(line, where), **fields)


def parse_prompt(line: dict[str, Any], where: str) -> Prompt:
  """The prompt of a line, its place being `where`."""
  messages = tuple(Message(**message) for message in line['messages'])
  return Prompt(
    messages, line['kind'], where, line['condition'], line['answer']
  )


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


def read(path: pathlib.Path) -> list[Record]:
  """The records that a stage wrote."""
  lines = path.read_text().splitlines()
  return [
    parse(json.loads(line), f'{path}:{number}')
    for number, line in enumerate(lines, 1)
  ]
