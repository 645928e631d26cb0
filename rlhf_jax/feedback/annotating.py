"""Raters of the attributes of responses: a model, a writer, or people.

A rater takes records, the queries of a dataset stage and a scale, and gives the
levels of each response's attributes.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rlhf_jax.feedback.attributes import Scale
from rlhf_jax.generation import draws
from rlhf_jax.generation.sampling import Sampling
from rlhf_jax.types import Prompt, Rated, Record, prompt_of, responses_of


class Labelled(NamedTuple):
  """A response with its levels, or {} where they are not known."""

  prompt: Prompt
  response: str
  values: dict[str, int]


Rater = Callable[[Sequence[Record], Any, Scale], list[Labelled]]


def by_model(
  records: Sequence[Record], queries: Any, scale: Scale
) -> list[Labelled]:
  """The frozen attribute model rates all responses, also those people rated."""
  said = responses(records)
  if not said:
    return []
  ratings = queries.rate(*map(list, zip(*said, strict=True)))
  return [
    Labelled(*pair, scale.predicted(row))
    for pair, row in zip(said, ratings, strict=True)
  ]


def by_writer(
  records: Sequence[Record], queries: Any, scale: Scale
) -> list[Labelled]:
  """The policy, a trained `attribute_writer`, writes the ratings, greedily.

  Where it writes no valid ratings, or not all of them, they are not known.
  """
  said = responses(records)
  asked = [
    prompt._replace(condition=scale.question(text)) for prompt, text in said
  ]
  written = queries.sample(
    samples=1, sampling=Sampling(draw=draws.greedy), prompts=asked
  )
  labelled = []
  for pair, (text,) in zip(said, written, strict=True):
    values = scale.parse(text) or {}
    whole = len(values) == len(scale.names)
    labelled.append(Labelled(*pair, values if whole else {}))
  return labelled


def by_people(
  records: Sequence[Rated], queries: Any, scale: Scale
) -> list[Labelled]:
  """The ratings of Rated records; missing ones are left out."""
  del queries  # Nobody is asked.
  return [
    Labelled(record.prompt, record.response, scale.rated(record.ratings))
    for record in rated_by_people(records)
  ]


def rated_by_people(records: Sequence[Record]) -> Sequence[Rated]:
  """The same records, which must all have ratings.

  Raises:
    ValueError: one has none.
  """
  for place, record in enumerate(records):
    if not isinstance(record, Rated):
      raise ValueError(
        f'record {place} is a {type(record).__name__} without ratings; take '
        'data that people rated, or let a model rate it'
      )
  return records


def responses(records: Sequence[Record]) -> list[tuple[Prompt, str]]:
  """Every response of some records, with its prompt."""
  return [(prompt_of(r), text) for r in records for text in responses_of(r)]


def asked(rater: Rater, stage: str) -> dict[str, Any]:
  """The `policy` or `frozen` argument of a rater's dataset stage, or neither.

  Args:
    rater: one of the above.
    stage: the stage that trained the model or the writer.
  """
  if rater is by_model:
    return {'frozen': {'attributes': stage}}
  return {'policy': stage} if rater is by_writer else {}
