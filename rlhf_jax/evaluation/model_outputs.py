"""Answers and verdicts in AlpacaEval's formats, so that others read ours.

model_outputs.json is a list of {instruction, output, generator, dataset};
annotations.json of pairs with a preference from 1, the first output is better,
to 2, the second is.

Source: Li et al. 2023 (AlpacaEval).
"""

import collections
import csv
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlhf_jax.data import fields, jsonl, names
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.evaluation import length_control, questions
from rlhf_jax.evaluation.questions import Question
from rlhf_jax.types import Prompt

# The answers of the two that a comparison is of.
FILES = ('model_outputs.json', 'reference_outputs.json')
LARGEST_DIFFICULTY = 1000  # Either way; published ones are below 10.
_all_turns = fields.list_of(fields.text, least=1)


def _answer(value: Any) -> list[str]:
  """What a model answered: a text, or one a turn of the user's."""
  if isinstance(value, list):
    return _all_turns(value)
  return [fields.text(value)]


_FIELDS = {
  'instruction': fields.filled,
  'output': _answer,
  'generator': fields.TEXT_OR_EMPTY,
}
_OUTPUT = fields.object_of(_FIELDS)


def _preference(value: Any) -> float:
  """The credit of the second output, NaN of a null."""
  if value is None:
    return np.nan
  known = isinstance(value, int | float) and not isinstance(value, bool)
  if not known or not (value == 0 or 1 <= value <= 2):
    raise fields.Fault(
      'must be a number from 1 to 2, 0 for a tie, or null for no verdict.'
    )
  return 0.5 if value == 0 else value - 1.0


_ANNOTATED = {
  'instruction': fields.filled,
  'output_1': fields.text,
  'output_2': fields.text,
  'preference': _preference,
}
_ANNOTATION = fields.object_of(_ANNOTATED)


def read(path: str, asked: Sequence[Question]) -> tuple[list[str], str]:
  """A model's answers to questions, in their order, and its name, from a file.

  To a question of several turns a file has a list of answers, or the one text
  that `questions.transcript` makes of them.

  Raises:
    DataError: the file is no such list, leaves out a prompt, or answers one
      more often than it is asked.
  """
  texts = [question.prompt.text.strip() for question in asked]
  times = collections.Counter(texts)
  answers, name = {}, pathlib.PurePath(path).name.partition('.')[0]
  for row in jsonl.read_any(path):
    if not {'instruction', 'output'} <= row.fields.keys():
      raise DataError(
        f'{row.where}: the fields are {names.listed(row.fields)}; a file of '
        'answers has instruction and output in each row, as AlpacaEval has it.'
      )
    with fields.placed(row.where):
      # Whoever adds columns of their own does no harm.
      known = {k: v for k, v in row.fields.items() if k in _FIELDS}
      given = _OUTPUT(known)
    text = given['instruction'].strip()
    said = answers.setdefault(text, [])
    said.append((given['output'], row.where))
    if len(said) > max(times[text], 1):
      raise DataError(
        f'{row.where}: is answer {len(said)} to a question that is asked '
        f'{"once" if times[text] < 2 else f"{times[text]} times"}; a file '
        'has one answer to each, of one model.'
      )
    name = given.get('generator') or name
  missing = [i for i, text in enumerate(texts) if text not in answers]
  if missing:
    raise DataError(
      f'{path} has no answer to {len(missing)} of {len(asked)} prompts, the '
      f'first one {asked[missing[0]].prompt.place}; give answers to the same '
      'questions.'
    )
  # Of a question that is asked again the next answer, or the one there is.
  left = {text: iter(said) for text, said in answers.items()}
  return [
    _of_all_turns(question, *next(left[text], answers[text][-1]))
    for question, text in zip(asked, texts, strict=True)
  ], name


def _of_all_turns(question: Question, said: list[str], where: str) -> str:
  """What was answered to a question's turns as one text."""
  count = 1 + len(question.later)
  if len(said) == count:
    return questions.transcript(question, said)
  if len(said) == 1 and questions.is_transcript(question, said[0]):
    return said[0]
  raise DataError(
    f"{where}: field 'output' has {len(said)} of {count} answers, one to each "
    f'turn of the question; give a list of {count}.'
  )


def outputs(
  prompts: Sequence[Prompt], answers: Sequence[str], generator: str
) -> list[dict[str, Any]]:
  """The rows of model_outputs.json."""
  return [
    {
      'dataset': prompt.kind,
      'instruction': prompt.text,
      'output': str(answer),
      'generator': generator,
    }
    for prompt, answer in zip(prompts, answers, strict=True)
  ]


def annotations(
  own: Sequence[Mapping[str, Any]],
  reference: Sequence[Mapping[str, Any]],
  credits: np.ndarray,
  annotator: str,
) -> list[dict[str, Any]]:
  """The rows of annotations.json; the second output is one's own.

  Args:
    own, reference: of `outputs`, of the same prompts.
    credits: [N] of one's own, NaN where there is no verdict.
    annotator: who judged.
  """
  return [
    {
      'instruction': mine['instruction'],
      'dataset': mine['dataset'],
      'output_1': other['output'],
      'generator_1': other['generator'],
      'output_2': mine['output'],
      'generator_2': mine['generator'],
      'annotator': annotator,
      'preference': None if np.isnan(credit) else 1.0 + credit,
    }
    for mine, other, credit in zip(
      own, reference, credits.tolist(), strict=True
    )
  ]


def length_copies(
  path: str, prompts: Sequence[Prompt], reference: Sequence[str]
) -> length_control.Copies:
  """Verdicts on the reference's answers at another length, from a file.

  Args:
    path: annotations.json, output_1 being the reference's answer and output_2
      the copy of another length; other instructions than ours do no harm.
    prompts: N.
    reference: N answers to them, against which the policy is judged too.

  Raises:
    DataError: it is no such file, is about other instructions, or about
      another reference.
  """
  pairs = zip(prompts, reference, strict=True)
  asked = {prompt.text.strip(): (prompt, str(said)) for prompt, said in pairs}
  found, credits, gaps = [], [], []
  for row in jsonl.read_any(path):
    with fields.placed(row.where):
      fields.check_required(_ANNOTATED, row.fields)
      given = _ANNOTATION({name: row.fields[name] for name in _ANNOTATED})
    prompt, said = asked.pop(given['instruction'].strip(), (None, ''))
    if prompt is None:
      continue
    if given['output_1'].strip() != said.strip():
      raise DataError(
        f'{row.where}: output_1 is not what --against answers to '
        f'{prompt.text[:40]!r}; copies are of the same reference, and judged '
        'against it'
      )
    found.append(prompt)
    credits.append(given['preference'])
    gaps.append(len(given['output_2']) - len(given['output_1']))
  if np.isnan(credits).all():
    raise DataError(
      f'{path} has no verdict on any of the {len(prompts)} questions; give '
      'annotations of the same benchmark'
    )
  return length_control.Copies(found, np.array(credits), np.array(gaps, float))


def difficulties(path: str, prompts: Sequence[Prompt]) -> np.ndarray:
  """[N] difficulties of prompts, of a table that somebody gives.

  Args:
    path: JSON {instruction: number}, or AlpacaEval's CSV of an index and a
      number, which then has a row for each prompt, in their order.
    prompts: N.

  Raises:
    DataError: it is not there, is no such table, leaves out a prompt, or has a
      number that is no logit.
  """
  file = jsonl.existing(path)
  try:
    text = file.read_text(encoding='utf-8')
    if path.endswith('.json'):
      table = json.loads(text)
      found = [float(table[prompt.text]) for prompt in prompts]
    else:
      _, *rows = csv.reader(text.splitlines())
      found = [float(row[-1]) for row in rows if row]
  except OSError as error:
    raise DataError(f'{path}: {error.strerror}') from error
  except KeyError as error:
    raise DataError(
      f'{path} has no difficulty of {error.args[0][:60]!r}; give one of each '
      'question, or leave the table out'
    ) from error
  except (ValueError, TypeError, IndexError) as error:
    raise DataError(
      f'{path} is no table of difficulties: JSON of {{instruction: number}}, '
      'or CSV of an index and a number'
    ) from error
  for place, value in enumerate(found):
    if not abs(value) <= LARGEST_DIFFICULTY:
      raise DataError(
        f'{path}: difficulty {place + 1} is {value:g}; one is a logit, a '
        f'number from -{LARGEST_DIFFICULTY} to {LARGEST_DIFFICULTY}'
      )
  if len(found) != len(prompts):
    raise DataError(
      f'{path} has {len(found)} difficulties, and there are {len(prompts)} '
      'questions; as JSON {instruction: number} it may have more'
    )
  return np.array(found)
