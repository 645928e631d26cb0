"""Files of JSON lines to records: a schema and a few lines for each kind."""

import collections
import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from rlhf_jax.data import fields
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt, Record

Row = Mapping[str, Any]
# (the parsed fields of a row, its 'file:line') -> records.
Rows = Callable[[Row, str], Iterable[Record]]


class Records(list):
  """The records of a file, or of several.

  Attributes:
    notes: what a person should know of the reading, a sentence each: the format
      that a file was read as, and the rows that were left out.
  """

  def __init__(self, records: Iterable[Any] = (), notes: Iterable[str] = ()):
    super().__init__(records)
    self.notes = tuple(notes)


class LeftOut(NamedTuple):
  """Why a row gives no record.

  Attributes:
    where: its file and line.
    reason: a clause.
  """

  where: str
  reason: str


SAME_TEXT = 'the responses are the same text'


class Stream(Iterable[Record]):
  """Records as they are read, but for those left out.

  Attributes:
    notes: once all were read, one that counts those left out for each reason.
  """

  def __init__(self, found: Iterable[Record | LeftOut]):
    self._found, self.notes = found, ()

  def __iter__(self) -> Iterator[Record]:
    """Yields them once.

    Raises:
      DataError: at the end, if everything was left out.
    """
    kept, left_out, first = 0, collections.Counter(), {}
    for one in self._found:
      if isinstance(one, LeftOut):
        left_out[one.reason] += 1
        first.setdefault(one.reason, one.where)
      else:
        kept += 1
        yield one
    total = kept + left_out.total()
    self.notes = tuple(
      f'{count} of {total} left out: {reason} (first at {first[reason]})'
      for reason, count in left_out.items()
    )
    if self.notes and not kept:
      raise DataError(
        f'{"; ".join(self.notes)}; nothing is left to learn from, give other '
        'data.'
      )


class Then(Stream):
  """What becomes of the records of a stream, with the notes on both."""

  def __init__(
    self,
    before: 'Stream | Records',
    change: Callable[['Stream | Records'], Iterable[Record | LeftOut]],
  ):
    super().__init__(change(before))
    self._before = before

  def __iter__(self) -> Iterator[Record]:
    """As of Stream."""
    yield from super().__iter__()
    self.notes = (*self._before.notes, *self.notes)


def collected(stream: Stream) -> Records:
  """The records of a stream, all at once."""
  records = list(stream)
  return Records(records, stream.notes)


def reader(stream: Callable[..., Stream]) -> Callable[..., Records]:
  """A reader of a file, from a function that gives a stream of its records.

  The stream, of which no more than a record at a time is held, stays at hand as
  the reader's `stream`.
  """

  @functools.wraps(stream)
  def read(path: str | pathlib.Path, **options: Any) -> Records:
    return collected(stream(path, **options))

  read.stream = stream
  return read


def rows(
  path: str | pathlib.Path, schema: fields.Schema, records: Rows
) -> Iterator[Record]:
  """The records of every line of a file of JSON lines."""
  for where, row in fields.read(path, schema):
    yield from records(row, where)


def distinct(
  comparisons: Iterable[Comparison],
) -> Iterator[Comparison | LeftOut]:
  """Leaves out comparisons whose responses are one text."""
  for one in comparisons:
    alike = len(set(one.responses)) == 1
    yield LeftOut(one.prompt.where, SAME_TEXT) if alike else one


def one_turn(
  text: str, kind: str = '', where: str = '', answer: str = ''
) -> Prompt:
  """A prompt of a single turn by the user."""
  return Prompt((Message('user', text),), kind, where, answer=answer)


def all_named(*models: str) -> tuple[str, ...]:
  """Names of those who gave responses; () where one of them has none."""
  return models if all(models) else ()


# Preferences of people: a conversation, the answer they chose, and the other.
PAIRS = {
  'id': fields.IGNORED,
  'subset': fields.TEXT_OR_EMPTY,
  'prompt': fields.turns,
  'chosen': fields.filled,
  'rejected': fields.filled,
}


@reader
def pairs(path: str | pathlib.Path) -> Stream:
  """Reads PAIRS. The subset is the prompt's kind."""
  return Stream(distinct(rows(path, PAIRS, pair)))


@reader
def chosen(path: str | pathlib.Path) -> Stream:
  """Reads PAIRS as demonstrations: the answers that people chose."""
  return Stream(_best(rows(path, PAIRS, pair)))


def pair(row: Row, where: str) -> Iterator[Comparison]:
  """The record of a row of PAIRS."""
  prompt = Prompt(row['prompt'], row['subset'], where)
  yield Comparison(prompt, (row['chosen'], row['rejected']))


# Instructions as Alpaca's and Dolly's: a task, its input, the answer.
INSTRUCTIONS = {
  'instruction': fields.filled,
  'input': fields.TEXT_OR_EMPTY,
  'output': fields.filled,
  'category': fields.TEXT_OR_EMPTY,
  'subsets': fields.IGNORED,
}


@reader
def instructions(path: str | pathlib.Path) -> Stream:
  """Reads INSTRUCTIONS. The category is the prompt's kind.

  The user says the instruction and, two lines further, the input.
  """
  return Stream(rows(path, INSTRUCTIONS, instruction))


def instruction(row: Row, where: str) -> Iterator[Demonstration]:
  """The record of a row of INSTRUCTIONS."""
  task = with_input(row['instruction'], row['input'])
  yield Demonstration(one_turn(task, row['category'], where), row['output'])


def with_input(task: str, given: str) -> str:
  """An instruction and, two lines further, its input, if it has one."""
  return f'{task}\n\n{given}' if given else task


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
  'id': fields.IGNORED,
  'subset': fields.TEXT_OR_EMPTY,
  'question': fields.filled,
  'answer': _solution,
}


@reader
def problems(path: str | pathlib.Path) -> Stream:
  """Reads PROBLEMS as demonstrations of solving them; the subset is the kind.

  The response is the whole solution; the prompt's `answer` follows its ####.
  """
  return Stream(rows(path, PROBLEMS, problem))


def problem(row: Row, where: str) -> Iterator[Demonstration]:
  """The record of a row of PROBLEMS."""
  solution, answer = row['answer']
  yield Demonstration(
    one_turn(row['question'], row['subset'], where, answer), solution
  )


# Outputs of models of known strength for one instruction. The verdicts are not
# used, nor is the older instructgpt_001.
STRENGTHS = {'gpt4': 2.0, 'chatgpt': 1.0, 'instructgpt': 0.0}
TIERS = {
  'id': fields.IGNORED,
  'dataset': fields.TEXT_OR_EMPTY,
  'instruction': fields.filled,
  'outputs': fields.object_of(
    {model: fields.Optional(fields.filled) for model in STRENGTHS}
    | fields.ignored('instructgpt_001')
  ),
  'win_vs_instructgpt': fields.IGNORED,
}


@reader
def tiers(path: str | pathlib.Path) -> Stream:
  """Reads TIERS: the strongest model's output first, STRENGTHS as scores.

  A line may lack models. A text that several models wrote counts once, as the
  strongest one's; lines with a single text are left out.
  """
  return Stream(distinct(rows(path, TIERS, tier)))


@reader
def strongest(path: str | pathlib.Path) -> Stream:
  """Reads TIERS as demonstrations: the strongest model's outputs."""
  return Stream(_best(rows(path, TIERS, tier)))


def tier(row: Row, where: str) -> Iterator[Comparison]:
  """The record of a row of TIERS."""
  models = {}
  for model in STRENGTHS:
    if row['outputs'][model] is not None:
      models.setdefault(row['outputs'][model], model)
  if not models:
    raise DataError(
      f"{where}: field 'outputs' has no text of {', '.join(STRENGTHS)}; "
      'give it some, or remove the line.'
    )
  prompt = one_turn(row['instruction'], row['dataset'], where)
  yield Comparison(
    prompt,
    tuple(models),
    scores=tuple(STRENGTHS[model] for model in models.values()),
    models=tuple(models.values()),
  )


def _best(comparisons: Iterable[Comparison]) -> Iterator[Demonstration]:
  """The first response of each, to imitate."""
  for one in comparisons:
    yield Demonstration(one.prompt, one.responses[0])
