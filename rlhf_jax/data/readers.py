"""Files to records: a schema and a few lines for each format."""

import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rlhf_jax.data import fields
from rlhf_jax.data.gathering import SAME_TEXT, LeftOut, Records, gather
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Message,
  Prompt,
  Record,
  prompt_of,
  responses_of,
)

# What becomes of a row: (its fields parsed, where it is) -> records.
Rows = Callable[[Mapping[str, Any], str], Iterable[Record]]

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

# Pairs that a judge scored; the margin is by how much. Judges score responses
# without a visible letter too.
SCORED_PAIRS = {
  'id': fields.Optional(fields.anything),
  'prompt': fields.filled,
  'chosen': fields.text,
  'rejected': fields.text,
  'score_chosen': fields.number,
  'score_rejected': fields.number,
}


def pairs(path: str | pathlib.Path) -> Records:
  """Reads PAIRS. The subset is the prompt's kind."""
  return distinct(rows(path, PAIRS, pair))


def scored_pairs(path: str | pathlib.Path) -> Records:
  """Reads SCORED_PAIRS, of one-turn prompts; margins are score differences.

  Pairs with an empty response are left out.
  """
  return gather(map(learnable, rows(path, SCORED_PAIRS, scored_pair)))


def chosen(path: str | pathlib.Path) -> Records:
  """Reads PAIRS as demonstrations: the answers that people chose."""
  return Records(
    Demonstration(one.prompt, one.responses[0])
    for one in rows(path, PAIRS, pair)
  )


def instructions(path: str | pathlib.Path) -> Records:
  """Reads INSTRUCTIONS. The category is the prompt's kind.

  The user says the instruction and, two lines further, the input.
  """
  return Records(rows(path, INSTRUCTIONS, instruction))


def problems(path: str | pathlib.Path) -> Records:
  """Reads PROBLEMS as demonstrations of solving them; the subset is the kind.

  The prompt's `answer` is what follows ####; the response is the whole
  solution, that included.
  """
  return Records(rows(path, PROBLEMS, problem))


def rows(
  path: str | pathlib.Path, schema: fields.Schema, records: Rows
) -> Iterator[Record]:
  """The records of every line of a file of JSON lines."""
  for where, row in fields.read(path, schema):
    yield from records(row, where)


def distinct(comparisons: Iterable[Comparison]) -> Records:
  """Leaves out comparisons of one text, which say nothing, and notes it."""
  return gather(
    one if len(set(one.responses)) > 1 else LeftOut(one.prompt.where, SAME_TEXT)
    for one in comparisons
  )


def learnable(record: Record | LeftOut) -> Record | LeftOut:
  """The record, or why nothing can be learnt from it."""
  if isinstance(record, LeftOut):
    return record
  said = responses_of(record)
  if len(said) > 1 and len(set(said)) == 1:
    return LeftOut(prompt_of(record).where, SAME_TEXT)
  for place, text in enumerate(said):
    if not fields.visible(text):
      name = 'the response'
      if len(said) == 2:
        name = ('the chosen', 'the rejected')[place] + ' response'
      return LeftOut(prompt_of(record).where, f'{name} is empty')
  return record


def pair(row: Mapping[str, Any], where: str) -> Iterator[Comparison]:
  """The record of a row of PAIRS."""
  prompt = Prompt(row['prompt'], row['subset'], where)
  yield Comparison(prompt, (row['chosen'], row['rejected']))


def scored_pair(row: Mapping[str, Any], where: str) -> Iterator[Comparison]:
  """The record of a row of SCORED_PAIRS."""
  prompt = Prompt((Message('user', row['prompt']),), where=where)
  yield judged(prompt, (row['chosen'], row['rejected']), row)


def judged(
  prompt: Prompt, responses: tuple[str, str], row: Mapping[str, Any]
) -> Comparison:
  """A pair with the row's `score_chosen` and `score_rejected`.

  Equal scores are told apart by nothing, and the pair says so itself.
  """
  scores = (row['score_chosen'], row['score_rejected'])
  margin = scores[0] - scores[1]
  if margin < 0.0:
    raise DataError(
      f'{prompt.where}: the rejected response scores {-margin:g} more than the '
      'chosen one; swap them.'
    )
  return Comparison(prompt, responses, margin, scores)


def instruction(row: Mapping[str, Any], where: str) -> Iterator[Demonstration]:
  """The record of a row of INSTRUCTIONS."""
  said = told(row['instruction'], row['input'])
  yield Demonstration(
    Prompt((Message('user', said),), row['category'], where), row['output']
  )


def told(task: str, given: str) -> str:
  """An instruction and, two lines further, what it is about, if anything."""
  return f'{task}\n\n{given}' if given else task


def problem(row: Mapping[str, Any], where: str) -> Iterator[Demonstration]:
  """The record of a row of PROBLEMS."""
  solution, answer = row['answer']
  asked = (Message('user', row['question']),)
  prompt = Prompt(asked, row['subset'], where, answer=answer)
  yield Demonstration(prompt, solution)
