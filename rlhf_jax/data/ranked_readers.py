"""Files of K responses to a prompt, or of one with a verdict, to records."""

import pathlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from rlhf_jax.data import fields, readers
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


def _flag(value: Any) -> bool:
  if not isinstance(value, bool):
    raise fields.Fault(f'must be true or false, not {value!r}.')
  return value


# Feedback on one response at a time: good, or not.
LABELLED = {
  'id': fields.Optional(fields.anything),
  'subset': fields.Optional(fields.text, ''),
  'prompt': fields.turns,
  'response': fields.filled,
  'desirable': _flag,
}


def tiers(path: str | pathlib.Path) -> list[Comparison]:
  """Reads TIERS: the strongest model's output first, STRENGTHS as scores.

  A line may lack models. A text that several models wrote counts once, as the
  strongest one's; lines with a single text compare nothing and are left out.
  """
  return readers.distinct(_tiers(path))


def strongest(path: str | pathlib.Path) -> list[Demonstration]:
  """Reads TIERS as demonstrations: the strongest model's outputs."""
  return [Demonstration(c.prompt, c.responses[0]) for c in _tiers(path)]


def _tiers(path: str | pathlib.Path) -> Iterator[Comparison]:
  for where, row in fields.read(path, TIERS):
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


def ranked(path: str | pathlib.Path) -> list[Comparison]:
  """Reads RANKED: an order and no scores. The language is the prompt's kind."""
  comparisons = []
  for where, row in fields.read(path, RANKED):
    ranks = [response['rank'] for response in row['responses']]
    for k, (better, worse) in enumerate(pairwise(ranks), start=2):
      if worse <= better:
        raise DataError(
          f"{where}: field 'responses' item {k} is of rank {worse:g} and the "
          f'one before it of rank {better:g}; ranks must grow from the best, '
          'which comes first.'
        )
    said = tuple(response['text'] for response in row['responses'])
    prompt = Prompt(row['prompt'], row['lang'], where)
    comparisons.append(Comparison(prompt, said))
  return readers.distinct(comparisons)


def scored(path: str | pathlib.Path) -> list[Comparison]:
  """Reads SCORED. The dataset is the prompt's kind.

  The margin is by how much the first scores more than the second.
  """
  comparisons = []
  for where, row in fields.read(path, SCORED):
    scores = tuple(response['score'] for response in row['responses'])
    _check_falling(scores, where)
    said = tuple(response['output'] for response in row['responses'])
    margin = scores[0] - scores[1]
    comparisons.append(
      Comparison(_instruction(row, where), said, margin, scores)
    )
  return readers.distinct(comparisons)


def labelled(path: str | pathlib.Path) -> list[Comparison]:
  """Reads LABELLED: one response each, scored 1 if desirable and else −1."""
  return [
    Comparison(
      Prompt(row['prompt'], row['subset'], where),
      (row['response'],),
      scores=(1.0 if row['desirable'] else -1.0,),
    )
    for where, row in fields.read(path, LABELLED)
  ]


def _instruction(row: dict[str, Any], where: str) -> Prompt:
  return Prompt((Message('user', row['instruction']),), row['dataset'], where)


def _check_falling(scores: Sequence[float], where: str) -> None:
  for k, (better, worse) in enumerate(pairwise(scores), start=2):
    if worse > better:
      raise DataError(
        f"{where}: field 'responses' item {k} scores {worse:g}, more than the "
        f'one before it ({better:g}); put the best first.'
      )
