"""Records as lines of JSON: what is kept of sources, and what stages write."""

import json
import math
import os
import pathlib
from typing import Any, BinaryIO

import numpy as np

from rlhf_jax.data.sequences import OnDemand
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

CHUNK = 1 << 20  # Bytes of a file that are searched at a time.
KINDS = {
  kind.__name__: kind for kind in (Comparison, Demonstration, Rated, Sampled)
}


def row(record: Record) -> dict[str, Any]:
  """A record as a line of JSON: its class, its prompt, and its other fields."""
  if isinstance(record, Prompt):
    return {'record': Prompt.__name__} | prompt_row(record)
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
  if line['record'] == Prompt.__name__:
    return parse_prompt(line, where)
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


class Lines(OnDemand[Record]):
  """The records of a file of lines, each read when it is asked for."""

  def __init__(self, path: pathlib.Path, fingerprint: str):
    """Of a file; the fingerprint changes when its content does."""
    self.fingerprint, self._path = fingerprint, path
    with files.naming(path):
      self._file = path.open('rb')
      self._ends = _line_ends(self._file)

  def __len__(self) -> int:
    return len(self._ends)

  def at(self, place: int) -> Record:
    begin = int(self._ends[place - 1]) if place else 0
    with files.naming(self._path):
      # Unlike `seek` and `read`, of threads side by side.
      line = os.pread(
        self._file.fileno(), int(self._ends[place]) - begin, begin
      )
    fields = json.loads(line)
    return parse(fields, fields.get('where') or f'{self._path}:{place + 1}')


def _line_ends(file: BinaryIO) -> np.ndarray:
  """[N] where each line ends."""
  found, begin = [np.zeros(0, np.int64)], 0
  while chunk := file.read(CHUNK):
    breaks = np.frombuffer(chunk, np.uint8) == ord('\n')
    found.append(np.flatnonzero(breaks) + begin + 1)
    begin += len(chunk)
  return np.concatenate(found)
