"""Records as examples of TFDS, and examples as records, nothing lost.

An example holds lists, texts and numbers; of what is read back, texts are
bytes and lists of objects are objects of lists. What each column is, says
`data.builders.features`.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Message,
  Prompt,
  Rated,
  Record,
  Response,
  prompt_of,
)

Example = Mapping[str, Any]


def example(record: Record) -> dict[str, Any]:
  """A record's columns, those of its prompt first.

  Args:
    record: a prompt, a demonstration, a comparison or a rated response.
  """
  prompt = prompt_of(record)
  columns = {
    'prompt': [message._asdict() for message in prompt.messages],
    'kind': prompt.kind,
    'condition': prompt.condition,
    'answer': prompt.answer,
    'where': prompt.where,
  }
  return columns | _COLUMNS[type(record)](record)


def _comparison(record: Comparison) -> dict[str, Any]:
  target = () if record.target is None else (record.target,)
  return {
    'responses': _said(record.responses),
    'target': _said(target),
    'token_ids': _ids((*record.responses, *target)),
    'scores': record.scores or (),
    'margin': record.margin,
    'weight': record.weight,
    'models': record.models,
  }


def _demonstration(record: Demonstration) -> dict[str, Any]:
  (response,) = _said([record.response])
  return {
    'response': response,
    'token_ids': _ids([record.response]),
    'weight': record.weight,
  }


def _rated(record: Rated) -> dict[str, Any]:
  (response,) = _said([record.response])
  ratings = [math.nan if x is None else x for x in record.ratings]
  return {
    'response': response,
    'token_ids': _ids([record.response]),
    'ratings': ratings,
  }


_COLUMNS: dict[type, Callable[[Any], dict[str, Any]]] = {
  Prompt: lambda prompt: {},
  Demonstration: _demonstration,
  Comparison: _comparison,
  Rated: _rated,
}


def _said(texts: Iterable[str]) -> list[dict[str, Any]]:
  """Responses, each with how many of the example's `token_ids` are its own."""
  return [
    {'text': str(one), 'ended': one.ended, 'tokens': len(one.ids or ())}
    for one in map(Response.of, texts)
  ]


def _ids(texts: Iterable[str]) -> list[int]:
  return [i for one in map(Response.of, texts) for i in one.ids or ()]


def record(example: Example) -> Record:
  """The record of an example that was read."""
  prompt = Prompt(
    tuple(map(Message, *_texts(example['prompt'], 'role', 'content'))),
    kind=example['kind'].decode(),
    where=example['where'].decode(),
    condition=example['condition'].decode(),
    answer=example['answer'].decode(),
  )
  if 'responses' in example:
    ids = iter(example['token_ids'])
    responses = _responses(example['responses'], ids)
    target = _responses(example['target'], ids)
    return Comparison(
      prompt,
      responses,
      float(example['margin']),
      _numbers(example['scores']) or None,
      target[0] if target else None,
      float(example['weight']),
      # A dataset that was prepared before they were kept has none.
      tuple(name.decode() for name in example.get('models', ())),
    )
  if 'response' not in example:
    return prompt
  said = {name: [value] for name, value in example['response'].items()}
  (response,) = _responses(said, iter(example['token_ids']))
  if 'ratings' not in example:
    return Demonstration(prompt, response, float(example['weight']))
  ratings = _numbers(example['ratings'])
  return Rated(
    prompt, response, tuple(None if math.isnan(x) else x for x in ratings)
  )


def _responses(said: Example, ids: Iterator[int]) -> tuple[str, ...]:
  """Responses, each of which takes its own of the ids."""
  (texts,) = _texts(said, 'text')
  return tuple(
    _response(text, bool(ended), tuple(map(int, itertools.islice(ids, tokens))))
    for text, ended, tokens in zip(
      texts, said['ended'], map(int, said['tokens']), strict=True
    )
  )


def _response(text: str, ended: bool, ids: tuple[int, ...]) -> str:
  if ended and not ids:
    return text
  return Response(text, ended=ended, ids=ids or None)


def _texts(columns: Example, *names: str) -> list[list[str]]:
  return [[text.decode() for text in columns[name]] for name in names]


def _numbers(values: Sequence[Any]) -> tuple[float, ...]:
  return tuple(map(float, values))
