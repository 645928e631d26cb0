"""Files of K responses to a prompt, or of one with a verdict, to records."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rlhf_jax.data import fields, readers
from rlhf_jax.data.gathering import Records
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt

# Models of known strength on the same instruction. The verdicts are not used,
# nor is the older instructgpt_001.
STRENGTHS = {'gpt4': 2.0, 'chatgpt': 1.0, 'instructgpt': 0.0}
TIERS = {
  'id': fields.Optional(fields.anything),
  'dataset': fields.Optional(fields.text, ''),
  'instruction': fields.filled,
  'outputs': fields.object_of(
    {model: fields.Optional(fields.filled) for model in STRENGTHS}
    | {'instructgpt_001': fields.Optional(fields.anything)}
  ),
  'win_vs_instructgpt': fields.Optional(fields.anything),
}

# Replies that people put in order, the best first.
REPLY = {
  'text': fields.filled,
  'rank': fields.number,
  'synthetic': fields.Optional(fields.anything),
}
RANKED = {
  'id': fields.Optional(fields.anything),
  'tree_id': fields.Optional(fields.anything),
  'source': fields.Optional(fields.anything),
  'lang': fields.Optional(fields.text, ''),
  'prompt': fields.turns,
  'responses': fields.list_of(fields.object_of(REPLY), least=2),
}

# Outputs of many models that a judge scored, the best first.
OUTPUT = {
  'model': fields.Optional(fields.anything),
  'output': fields.filled,
  'score': fields.number,
  'v1_win': fields.Optional(fields.anything),
  'cot_win': fields.Optional(fields.anything),
}
SCORED = {
  'id': fields.Optional(fields.anything),
  'dataset': fields.Optional(fields.text, ''),
  'instruction': fields.filled,
  'responses': fields.list_of(fields.object_of(OUTPUT), least=2),
  'extra_responses': fields.Optional(fields.anything),
}


# Feedback on one response at a time: good, or not.
LABELLED = {
  'id': fields.Optional(fields.anything),
  'subset': fields.Optional(fields.text, ''),
  'prompt': fields.turns,
  'response': fields.filled,
  'desirable': fields.flag,
}


def tiers(path: str | pathlib.Path) -> Records:
  """Reads TIERS: the strongest model's output first, STRENGTHS as scores.

  A line may lack models. A text that several models wrote counts once, as the
  strongest one's; lines with a single text compare nothing and are left out.
  """
  return readers.distinct(readers.rows(path, TIERS, tier))


def strongest(path: str | pathlib.Path) -> Records:
  """Reads TIERS as demonstrations: the strongest model's outputs."""
  return Records(
    Demonstration(one.prompt, one.responses[0])
    for one in readers.rows(path, TIERS, tier)
  )


def ranked(path: str | pathlib.Path) -> Records:
  """Reads RANKED: an order and no scores. The language is the prompt's kind."""
  return readers.distinct(readers.rows(path, RANKED, ranking))


def scored(path: str | pathlib.Path) -> Records:
  """Reads SCORED. The dataset is the prompt's kind.

  The margin is by how much the first scores more than the second.
  """
  return readers.distinct(readers.rows(path, SCORED, scoring))


def labelled(path: str | pathlib.Path) -> Records:
  """Reads LABELLED: one response each, scored 1 if desirable and else −1."""
  return Records(readers.rows(path, LABELLED, verdict))


def tier(row: Mapping[str, Any], where: str) -> Iterator[Comparison]:
  """The record of a row of TIERS."""
  strengths = {}
  for model, strength in STRENGTHS.items():
    if row['outputs'][model] is not None:
      strengths.setdefault(row['outputs'][model], strength)
  if not strengths:
    raise DataError(
      f"{where}: field 'outputs' has no text of {', '.join(STRENGTHS)}; "
      'give it some, or remove the line.'
    )
  said, scores = tuple(strengths), tuple(strengths.values())
  yield Comparison(_instruction(row, where), said, scores=scores)


def ranking(row: Mapping[str, Any], where: str) -> Iterator[Comparison]:
  """The record of a row of RANKED."""
  ranks = [response['rank'] for response in row['responses']]
  for k, (better, worse) in enumerate(pairwise(ranks), start=2):
    if worse <= better:
      raise DataError(
        f"{where}: field 'responses' item {k} is of rank {worse:g} and the "
        f'one before it of rank {better:g}; ranks must grow from the best, '
        'which comes first.'
      )
  said = tuple(response['text'] for response in row['responses'])
  yield Comparison(Prompt(row['prompt'], row['lang'], where), said)


def scoring(row: Mapping[str, Any], where: str) -> Iterator[Comparison]:
  """The record of a row of SCORED."""
  scores = tuple(response['score'] for response in row['responses'])
  check_falling(scores, where)
  said = tuple(response['output'] for response in row['responses'])
  margin = scores[0] - scores[1]
  yield Comparison(_instruction(row, where), said, margin, scores)


def verdict(row: Mapping[str, Any], where: str) -> Iterator[Comparison]:
  """The record of a row of LABELLED."""
  prompt = Prompt(row['prompt'], row['subset'], where)
  score = 1.0 if row['desirable'] else -1.0
  yield Comparison(prompt, (row['response'],), scores=(score,))


def _instruction(row: Mapping[str, Any], where: str) -> Prompt:
  return Prompt((Message('user', row['instruction']),), row['dataset'], where)


def check_falling(scores: Sequence[float], where: str) -> None:
  """Refuses scores of which one is larger than the one before it."""
  for k, (better, worse) in enumerate(pairwise(scores), start=2):
    if worse > better:
      raise DataError(
        f"{where}: field 'responses' item {k} scores {worse:g}, more than the "
        f'one before it ({better:g}); put the best first.'
      )
