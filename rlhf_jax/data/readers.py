"""Files to records: a schema and a few lines for each format."""

import pathlib
from collections.abc import Iterable
from typing import Any

from absl import logging

from rlhf_jax.data import fields
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt

# Preferences of people: a conversation, the answer they chose, and the other.
PAIRS = {
  'id': fields.Optional(fields.anything),
  'subset': fields.Optional(fields.text, ''),
  'prompt': fields.turns,
  'chosen': fields.filled,
  'rejected': fields.filled,
}

# Instructions as Alpaca's and Dolly's: a task, what it is about, the answer.
INSTRUCTIONS = {
  'instruction': fields.filled,
  'input': fields.Optional(fields.text, ''),
  'output': fields.filled,
  'category': fields.Optional(fields.text, ''),
  'subsets': fields.Optional(fields.anything),
}


def _solution(value: Any) -> tuple[str, str]:
  """(a worked solution, the answer that follows its last ####)."""
  solution = fields.filled(value)
  answer = solution.rpartition(MARK)[2].strip()
  if MARK not in solution or not answer:
    raise fields.Fault(
      f'must end with {MARK} and the answer, like "3 + 4 = 7\\n{MARK} 7".'
    )
  return solution, answer


# Problems as grade-school maths sets have them (Cobbe et al. 2021): a question,
# and a worked solution that ends with #### and the answer.
MARK = '####'
PROBLEMS = {
  'id': fields.Optional(fields.anything),
  'subset': fields.Optional(fields.text, ''),
  'question': fields.filled,
  'answer': _solution,
}

# Pairs that a judge scored; the margin is by how much.
SCORED_PAIRS = {
  'id': fields.Optional(fields.anything),
  'prompt': fields.filled,
  'chosen': fields.filled,
  'rejected': fields.filled,
  'score_chosen': fields.number,
  'score_rejected': fields.number,
}


def pairs(path: str | pathlib.Path) -> list[Comparison]:
  """Reads PAIRS. The subset is the prompt's kind."""
  return distinct(
    Comparison(
      Prompt(row['prompt'], row['subset'], where),
      (row['chosen'], row['rejected']),
    )
    for where, row in fields.read(path, PAIRS)
  )


def scored_pairs(path: str | pathlib.Path) -> list[Comparison]:
  """Reads SCORED_PAIRS, of one-turn prompts; margins are score differences."""
  comparisons = []
  for where, row in fields.read(path, SCORED_PAIRS):
    prompt = Prompt((Message('user', row['prompt']),), where=where)
    margin = row['score_chosen'] - row['score_rejected']
    if margin < 0.0:
      raise DataError(
        f'{where}: the rejected response scores {-margin:g} more than the '
        'chosen one; swap them.'
      )
    responses = (row['chosen'], row['rejected'])
    comparisons.append(Comparison(prompt, responses, margin))
  return distinct(comparisons)


def chosen(path: str | pathlib.Path) -> list[Demonstration]:
  """Reads PAIRS as demonstrations: the answers that people chose."""
  return [
    Demonstration(Prompt(row['prompt'], row['subset'], where), row['chosen'])
    for where, row in fields.read(path, PAIRS)
  ]


def instructions(path: str | pathlib.Path) -> list[Demonstration]:
  """Reads INSTRUCTIONS. The category is the prompt's kind.

  The user says the instruction and, two lines further, the input.
  """
  demonstrations = []
  for where, row in fields.read(path, INSTRUCTIONS):
    said = row['instruction'] + ('\n\n' + row['input'] if row['input'] else '')
    prompt = Prompt((Message('user', said),), row['category'], where)
    demonstrations.append(Demonstration(prompt, row['output']))
  return demonstrations


def problems(path: str | pathlib.Path) -> list[Demonstration]:
  """Reads PROBLEMS as demonstrations of solving them; the subset is the kind.

  The prompt's `answer` is what follows ####; the response is the whole
  solution, that included.
  """
  demonstrations = []
  for where, row in fields.read(path, PROBLEMS):
    solution, answer = row['answer']
    asked = (Message('user', row['question']),)
    prompt = Prompt(asked, row['subset'], where, answer=answer)
    demonstrations.append(Demonstration(prompt, solution))
  return demonstrations


def distinct(comparisons: Iterable[Comparison]) -> list[Comparison]:
  """Leaves out comparisons of one text, which say nothing, and says so."""
  comparisons = list(comparisons)
  kept = [c for c in comparisons if len(set(c.responses)) > 1]
  same = [c.prompt.where for c in comparisons if len(set(c.responses)) == 1]
  if same:
    logging.warning(
      '%d of %d comparisons left out: their responses are the same text (first '
      'at %s).',
      len(same),
      len(comparisons),
      same[0],
    )
  return kept
