"""Benchmarks of policies: sets of questions, in one turn or in several."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rlhf_jax.data import formats, prepared, readers
from rlhf_jax.data.formats.format import rows_of, stream_as
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.names import listed
from rlhf_jax.data.splits import SECOND_TURNS, TEST
from rlhf_jax.feedback.verdicts import turns
from rlhf_jax.types import Message, Prompt, Record, prompt_of

# Of these fields, a file that asks something has one.
ASKING = {'turns', 'instruction', 'prompt', 'messages', 'conversations', 'text'}


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
    splits: of that dataset, one for each turn of the user's.
    read: readers of a file of questions, likewise.
    kind: the prompts' that are asked; all where it is None.
  """

  dataset: str
  splits: tuple[str, ...] = (TEST,)
  read: tuple[Callable[[str], Sequence[Record]], ...] = (formats.read,)
  kind: str | None = None


def _instructions(path):
  known = (formats.ALPACA_EVAL, *formats.FORMATS)
  return readers.collected(stream_as(path, known))


BENCHMARKS = {
  'vicuna80': Benchmark('vicuna'),
  'alpaca_eval': Benchmark('alpaca_eval', read=(_instructions,)),
  # The instructions of its natural part, as RLP has them.
  'llmbar': Benchmark('llmbar', kind='Natural'),
  'mt_bench': Benchmark('mt_bench', (TEST, SECOND_TURNS), formats.TURNS),
}


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
  if path is not None:
    turns = [_read(read, path, benchmark) for read in benchmark.read]
  else:
    folder = prepared.find(benchmark.dataset)
    if folder is None:
      raise DataError(
        f'the questions of {name} are not in {prepared.data_dir()}: python -m '
        f'launch.prepare {benchmark.dataset} --from DIR brings them, or name a '
        'file of them: --questions FILE'
      )
    turns = [prepared.Split(folder / split) for split in benchmark.splits]
  first, *later = ([prompt_of(record) for record in turn] for turn in turns)
  following = [{prompt.where: prompt for prompt in turn} for turn in later]
  asked = {}
  for prompt in first:
    if benchmark.kind in (None, prompt.kind):
      said = [turn[prompt.where] for turn in following if prompt.where in turn]
      question = _question(prompt, said)
      asked[prompt.messages, question.later] = question
  if not asked:
    raise DataError(f'{path or benchmark.dataset} holds no question of {name}.')
  return list(asked.values())


def _read(read, path, benchmark):
  """What a reader finds in a file, which has to hold questions."""
  try:
    return read(path)
  except DataError:
    first = next(rows_of(path)).fields
    known = {'turns'} if len(benchmark.read) > 1 else ASKING
    if known & first.keys():
      raise
    other = '' if len(known) == 1 else ', or instruction, as AlpacaEval has it'
    raise DataError(
      f'{path} holds no questions: the fields are {listed(first)}; give rows '
      f'with category and turns, a list of texts, as MT-bench has them{other}.'
    ) from None


def _question(prompt: Prompt, later: Sequence[Prompt]) -> Question:
  answers = [one.answer for one in (prompt, *later) if one.answer]
  return Question(
    prompt._replace(answer='\n\n'.join(answers)),
    tuple(one.text for one in later),
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
  later = zip(question.later, answers[1:], strict=True)
  return turns.joined(answers[0], list(later))


def is_transcript(question: Question, text: str) -> bool:
  """Whether a text is what `transcript` makes of answers to all turns."""
  return all(
    turns.joined('', [(asked, '')]) in text for asked in question.later
  )
