"""Formats of responses that people rated, by attribute.

Ratings become whole levels from 0 to LEVELS − 1. Half a level goes to the even
one, as Python's round has it: 0.125 of 4 to 0, 0.375 and 0.625 to 2.
"""

from collections.abc import Iterator
from typing import Any

from rlhf_jax.data import fields
from rlhf_jax.data.formats.format import Format
from rlhf_jax.data.readers import Row, one_turn
from rlhf_jax.types import Prompt, Rated

LEVELS = 5


def _between(low: float, high: float) -> fields.Parser:
  """A number in [low, high], as a whole level, or null."""

  def parse(value: Any) -> float | None:
    if value is None:
      return None
    number = fields.number(value)
    if not low <= number <= high:
      raise fields.Fault(
        f'must be between {low:g} and {high:g}, not {number:g}.'
      )
    share = (number - low) / (high - low)
    return float(round((LEVELS - 1) * share))

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
    return tuple(found[name] for name in names)

  return parse


# Wang et al. 2023: five attributes from 0 to 4.
HELPSTEER_ATTRIBUTES = (
  'helpfulness',
  'correctness',
  'coherence',
  'complexity',
  'verbosity',
)


def _helpsteer(row: Row, where: str) -> Iterator[Rated]:
  ratings = tuple(row[name] for name in HELPSTEER_ATTRIBUTES)
  yield Rated(one_turn(row['prompt'], where=where), row['response'], ratings)


HELPSTEER = Format(
  'HelpSteer',
  {'prompt': fields.filled, 'response': fields.text}
  | dict.fromkeys(HELPSTEER_ATTRIBUTES, _between(0.0, 4.0)),
  _helpsteer,
)

# Köpf et al. 2023, in the order that SteerLM writes the attributes.
OASST_ATTRIBUTES = (
  'quality',
  'toxicity',
  'humor',
  'creativity',
  'violence',
  'helpfulness',
)


def _reply(row: Row, where: str) -> Iterator[Rated]:
  prompt = Prompt(row['prompt'], row['lang'], where)
  yield Rated(prompt, row['response'], row['attributes'])


# The language is the prompt's kind.
OASST_RATED = Format(
  'rated replies',
  fields.ignored('id tree_id')
  | {
    'lang': fields.TEXT_OR_EMPTY,
    'prompt': fields.turns,
    'response': fields.filled,
    'attributes': _attributes(OASST_ATTRIBUTES, _between(0.0, 1.0)),
  }
  | fields.ignored('n_labels rank'),
  _reply,
)

# Stories, rated from 1 to 5; the prompt is the topic.
HANNA_ATTRIBUTES = (
  'relevance',
  'coherence',
  'empathy',
  'surprise',
  'engagement',
  'complexity',
)


def _story(row: Row, where: str) -> Iterator[Rated]:
  prompt = one_turn(row['prompt'], where=where)
  yield Rated(prompt, row['story'], row['attributes'])


HANNA = Format(
  'HANNA stories',
  fields.ignored('id prompt_id')
  | {
    'prompt': fields.filled,
    'model': fields.IGNORED,
    'story': fields.filled,
    'attributes': _attributes(HANNA_ATTRIBUTES, _between(1.0, 5.0)),
  },
  _story,
)
