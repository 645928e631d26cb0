"""Files of responses that people rated, an attribute each.

Ratings become whole levels from 0 to LEVELS − 1. Half a level goes to the even
one, as Python's round has it: 0.125 of 4 to 0, 0.375 and 0.625 to 2.
"""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from rlhf_jax.data import fields, readers
from rlhf_jax.data.gathering import Records
from rlhf_jax.types import Message, Prompt, Rated

LEVELS = 5


def between(low: float, high: float) -> fields.Parser:
  """A number in [low, high], as a share of the way, or null."""

  def parse(value: Any) -> float | None:
    if value is None:
      return None
    number = fields.number(value)
    if not low <= number <= high:
      raise fields.Fault(
        f'must be between {low:g} and {high:g}, not {number:g}.'
      )
    return (number - low) / (high - low)

  return parse


def _attributes(names: tuple[str, ...], parser: fields.Parser) -> fields.Parser:
  """Ratings in the order of `names`; None where one is missing."""
  read = fields.object_of({name: fields.Optional(parser) for name in names})

  def parse(value: Any) -> tuple[float | None, ...]:
    found = read(value)
    if all(rating is None for rating in found.values()):
      raise fields.Fault(
        f'rates none of {", ".join(names)}; rate one, or remove the line.'
      )
    return tuple(level(found[name]) for name in names)

  return parse


def level(share: float | None) -> float | None:
  """The whole level from 0 to LEVELS − 1 of a share in [0, 1]; None of None."""
  return None if share is None else float(round((LEVELS - 1) * share))


# Replies of assistants, in the order that SteerLM writes their attributes.
OASST_ATTRIBUTES = (
  'quality',
  'toxicity',
  'humor',
  'creativity',
  'violence',
  'helpfulness',
)
OASST = {
  'id': fields.Optional(fields.anything),
  'tree_id': fields.Optional(fields.anything),
  'lang': fields.Optional(fields.text, ''),
  'prompt': fields.turns,
  'response': fields.filled,
  'attributes': _attributes(OASST_ATTRIBUTES, between(0.0, 1.0)),
  'n_labels': fields.Optional(fields.anything),
  'rank': fields.Optional(fields.anything),
}

# Stories, rated from 1 to 5.
HANNA_ATTRIBUTES = (
  'relevance',
  'coherence',
  'empathy',
  'surprise',
  'engagement',
  'complexity',
)
HANNA = {
  'id': fields.Optional(fields.anything),
  'prompt_id': fields.Optional(fields.anything),
  'prompt': fields.filled,
  'model': fields.Optional(fields.anything),
  'story': fields.filled,
  'attributes': _attributes(HANNA_ATTRIBUTES, between(1.0, 5.0)),
}


def oasst(path: str | pathlib.Path) -> Records:
  """Reads OASST. The language is the prompt's kind."""
  return Records(readers.rows(path, OASST, reply))


def hanna(path: str | pathlib.Path) -> Records:
  """Reads HANNA: the prompt is what a story was asked to be about."""
  return Records(readers.rows(path, HANNA, story))


def reply(row: Mapping[str, Any], where: str) -> Iterator[Rated]:
  """The record of a row of OASST."""
  prompt = Prompt(row['prompt'], row['lang'], where)
  yield Rated(prompt, row['response'], row['attributes'])


def story(row: Mapping[str, Any], where: str) -> Iterator[Rated]:
  """The record of a row of HANNA."""
  prompt = Prompt((Message('user', row['prompt']),), where=where)
  yield Rated(prompt, row['story'], row['attributes'])
