"""Pairs of responses that people are asked about, from files and folders."""

import hashlib
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from rlhf_jax.data import fields, files, formats, jsonl, record_lines
from rlhf_jax.data.formats import conversations
from rlhf_jax.data.formats.format import rows_of
from rlhf_jax.evaluation import model_outputs
from rlhf_jax.storage import seals
from rlhf_jax.types import Demonstration, Prompt

# Fields of an answer that a run keeps beside what it trained.
KEPT = {'messages', 'response', 'ended'}


class Pair(NamedTuple):
  """Two responses to a prompt, the first and the second.

  Attributes:
    prompt: what they answer.
    responses: the two texts.
    policies: whose they are; '' where they are no policies'.
  """

  prompt: Prompt
  responses: tuple[str, str]
  policies: tuple[str, str] = ('', '')

  @property
  def name(self) -> str:
    """Twelve digits of its content: the same in every file and order."""
    content = [self.prompt.messages, self.responses, self.policies]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]

  @property
  def same(self) -> bool:
    """Whether both are the same text, so that nobody has to be asked."""
    return self.responses[0] == self.responses[1]

  def row(self) -> dict[str, Any]:
    """The fields of `formats.CHOICES` that are about the pair."""
    row = {
      'prompt': [message._asdict() for message in self.prompt.messages],
      'response_1': str(self.responses[0]),
      'response_2': str(self.responses[1]),
      'pair': self.name,
      'subset': self.prompt.kind,
    }
    if any(self.policies):
      row |= {'policy_1': self.policies[0], 'policy_2': self.policies[1]}
    return row


class PairsToJudge(NamedTuple):
  """Pairs, and what a person should know of how they were read."""

  pairs: list[Pair]
  notes: tuple[str, ...]


def of_file(place: str) -> PairsToJudge:
  """The pairs of a file, a folder of files or a prepared dataset.

  Args:
    place: of rows {'prompt', 'response_1', 'response_2'}, or of any format that
      compares responses, whose first two are taken: who preferred which before
      plays no part.

  Raises:
    DataError: it holds no such rows.
  """
  path = pathlib.Path(place)
  if path.is_file() and _asks(next(rows_of(path)).fields):
    return _distinct(_asked(path), ())
  folder, found = files.files_at(place, '', read=formats.comparisons)
  records = found.records(folder)
  pairs = [
    Pair(record.prompt, tuple(map(str, record.responses[:2])))
    for record in records
    if len(record.responses) > 1
  ]
  return _distinct(pairs, records.notes)


def of_answers(places: Sequence[str]) -> PairsToJudge:
  """The answers of two policies to the prompts that both of them answered.

  Of several answers to a prompt, the first is beside the other's first.

  Args:
    places: of two files of answers, in any format of answers, or of two stages
      of a run, as in RUN/stages/ppo.

  Raises:
    DataError: a place holds no answers, or they have no prompt in common.
  """
  names = _names(places)
  first, second = (list(_answers(pathlib.Path(place))) for place in places)
  by_prompt = {}
  for prompt, response in second:
    by_prompt.setdefault(prompt.messages, []).append(response)
  pairs = []
  for prompt, response in first:
    if others := by_prompt.get(prompt.messages):
      pair = (response, others.pop(0))
      pairs.append(Pair(prompt, pair, tuple(names)))
  if not pairs:
    raise jsonl.DataError(
      f'{places[0]} and {places[1]} answer no prompt in common; give the '
      'answers of two policies to the same prompts.'
    )
  alone = (len(first) - len(pairs), len(second) - len(pairs))
  notes = tuple(
    f'{count} answers of {name} have none of the other beside them, and are '
    'left out'
    for name, count in zip(names, alone, strict=True)
    if count
  )
  return _distinct(pairs, notes)


def _names(places: Sequence[str]) -> list[str]:
  """What two policies are told apart by: their rows, their files, or paths."""
  paths = [pathlib.Path(place) for place in places]
  for found in (map(_generator, paths), (path.stem for path in paths)):
    one, other = found
    if one and other and one != other:
      return [one, other]
  return list(places)


def _generator(path: pathlib.Path) -> str:
  """Whose answers a file holds, as AlpacaEval's rows say; '' of others."""
  said = next(rows_of(path)).fields.get('generator') if path.is_file() else ''
  return said if isinstance(said, str) else ''


def _distinct(pairs: Iterable[Pair], notes: Sequence[str]) -> PairsToJudge:
  """The different ones among pairs; those that are there twice are counted."""
  pairs = list(pairs)
  different = list({pair.name: pair for pair in pairs}.values())
  if twice := len(pairs) - len(different):
    notes = (*notes, f'{twice} pairs are there twice, and are asked about once')
  return PairsToJudge(different, tuple(notes))


def _asks(row: dict[str, Any]) -> bool:
  return {'prompt', 'response_1', 'response_2'} <= row.keys()


def _asked(path: pathlib.Path) -> Iterator[Pair]:
  for where, given in rows_of(path):
    known = {k: v for k, v in given.items() if k in formats.CHOICES.schema}
    with fields.placed(where):
      row = formats.CHOICES.parse(known)
      try:
        messages, responses = conversations.exchange(
          row['prompt'], row['response_1'], row['response_2']
        )
      except conversations.Unusable as reason:
        raise fields.Fault(f'cannot be asked about: {reason}.') from None
    policies = (row['policy_1'], row['policy_2'])
    yield Pair(Prompt(messages, row['subset'], where), responses, policies)


def _answers(path: pathlib.Path) -> Iterator[tuple[Prompt, str]]:
  """(prompt, answer) of a file of answers, or of a stage's folder."""
  if path.is_dir():
    path = _kept(path)
  if next(rows_of(path)).fields.keys() >= KEPT:
    for row in seals.read_lines(path):
      yield record_lines.parse_prompt(row, row['where']), row['response']
    return
  for record in formats.read.stream(path):
    if not isinstance(record, Demonstration):
      raise jsonl.DataError(
        f'{path}: holds no answers of one policy, an answer a line; give a '
        'file of prompts and answers, or a stage of a run, as in '
        'RUN/stages/ppo.'
      )
    yield record.prompt, record.response


def _kept(folder: pathlib.Path) -> pathlib.Path:
  """The one file of answers in a stage's folder."""
  if (folder / model_outputs.FILES[0]).exists():
    both = ' and '.join(f'{folder}/{name}' for name in model_outputs.FILES)
    raise jsonl.DataError(
      f'{folder} holds what launch.evaluate compared; name the answers of each '
      f'policy: {both}'
    )
  found = sorted(folder.glob('answers-*.jsonl'))
  if len(found) == 1:
    return found[0]
  if found:
    listed = ', '.join(path.name for path in found)
    raise jsonl.DataError(
      f'{folder} holds the answers of several measures: {listed}; name one.'
    )
  stages = [p.parent.name for p in folder.glob('stages/*/answers-*.jsonl')]
  if stages:
    raise jsonl.DataError(
      f'{folder} is a run, whose policies are apart; name one, as in '
      f'{folder}/stages/{sorted(stages)[0]}. There are '
      f'{", ".join(sorted(set(stages)))}.'
    )
  raise jsonl.DataError(
    f'{folder} holds no answers (answers-….jsonl); name a stage of a run that '
    'was measured, as in RUN/stages/ppo, or a file, such as a '
    'model_outputs.json.'
  )
