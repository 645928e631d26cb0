"""Benchmarks of policies: sets of questions, in one turn or in several."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rlhf_jax.data import fields, formats, jsonl, prepared
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.types import Message, Prompt, Record, prompt_of


class Question(NamedTuple):
  """What a policy is asked.

  Attributes:
    prompt: the first turn; its `answer` is a reference answer, if there is one.
    later: further turns of the user's, each asked after the answer before it.
  """

  prompt: Prompt
  later: tuple[str, ...] = ()


class Benchmark(NamedTuple):
  """A set of questions that people compare policies on.

  Attributes:
    dataset: its name for `launch.prepare`, which brings it to disk.
    read: records -> those that are asked, of a prepared dataset or of a file.
    turns: of the user's, in a question.
    source: where a file of more than one turn is had.
  """

  dataset: str
  read: Callable[[Sequence[Record]], list[Record]]
  turns: int = 1
  source: str = ''


def _all(records):
  return list(records)


def _of_kind(records, kind):
  return [record for record in records if prompt_of(record).kind == kind]


BENCHMARKS = {
  'vicuna80': Benchmark('vicuna', _all),
  'alpaca_eval': Benchmark('alpaca_farm_ranked', _all),
  # The instructions of its natural part, as RLP has them.
  'llmbar': Benchmark('llmbar', functools.partial(_of_kind, kind='Natural')),
  'mt_bench': Benchmark(
    'mt_bench',
    _all,
    turns=2,
    source='question.jsonl of lm-sys/FastChat, in '
    'fastchat/llm_judge/data/mt_bench',
  ),
}
_TURNS = fields.object_of(
  {
    'question_id': fields.IGNORED,
    'category': fields.TEXT_OR_EMPTY,
    'turns': fields.list_of(fields.filled, least=1),
    'reference': fields.Optional(
      fields.nullable(fields.list_of(fields.text), default=())
    ),
  }
)


def load(name: str, path: str | None = None) -> list[Question]:
  """The questions of a benchmark, each once.

  Args:
    name: of BENCHMARKS.
    path: a file with them; None for the prepared dataset.

  Raises:
    DataError: they are not there, saying how to bring them, or not as such
      files are.
  """
  benchmark = BENCHMARKS[name]
  if benchmark.turns > 1:
    return _in_turns(name, benchmark, path)
  if path is not None:
    records = formats.read(path)
  else:
    folder = prepared.find(benchmark.dataset)
    if folder is None:
      raise DataError(
        f'the questions of {name} are not in {prepared.data_dir()}: python -m '
        f'launch.prepare {benchmark.dataset} --from DIR brings them, or name a '
        'file of them: --questions FILE'
      )
    records = prepared.Split(prepared.measured_on(folder))
  asked = {p.messages: p for p in map(prompt_of, benchmark.read(records))}
  if not asked:
    raise DataError(f'{path or benchmark.dataset} holds no question of {name}.')
  return list(map(Question, asked.values()))


def _in_turns(name, benchmark, path):
  if path is None:
    raise DataError(
      f'{name} asks {benchmark.turns} turns, of which a prepared dataset keeps '
      f'the first; name the file of them: --questions FILE, {benchmark.source}'
    )
  return list(map(_question, jsonl.read_any(path)))


def _question(row: jsonl.Row) -> Question:
  with fields.placed(row.where):
    given = _TURNS(row.fields)
  first, *later = given['turns']
  reference = '\n\n'.join(given.get('reference') or ())
  return Question(
    Prompt(
      (Message('user', first),),
      given.get('category') or '',
      row.where,
      answer=reference,
    ),
    tuple(later),
  )


def following(question: Question, answers: Sequence[str]) -> Prompt:
  """The prompt of the turn after some answers."""
  messages = list(question.prompt.messages)
  for said, asked in zip(answers, question.later, strict=False):
    messages += [Message('assistant', said), Message('user', asked)]
  return question.prompt._replace(messages=tuple(messages))


def transcript(question: Question, answers: Sequence[str]) -> str:
  """All answers to a question as one text, which is what a judge is shown.

  Of a single turn that is the answer; of several, later turns of the user's
  stand between the answers.
  """
  said = [answers[0]]
  for asked, answer in zip(question.later, answers[1:], strict=True):
    said += [f'[The user asks next: {asked}]', answer]
  return '\n\n'.join(said)
