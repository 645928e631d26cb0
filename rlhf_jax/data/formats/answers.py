"""Formats of one answer to a prompt, or of prompts alone."""

from collections.abc import Iterator

from rlhf_jax.data import fields, readers
from rlhf_jax.data.formats import conversations
from rlhf_jax.data.formats.format import Format
from rlhf_jax.data.readers import LeftOut, Row, one_turn
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt


def _chat(row: Row, where: str) -> Iterator[Demonstration]:
  messages, answer = conversations.answered(row['messages'])
  yield Demonstration(Prompt(messages, where=where), answer)


# A conversation, its last answer to be imitated.
CHAT = Format(
  'chat messages',
  fields.ignored('id source prompt prompt_id')
  | {
    'messages': conversations.messages,
    'tools': fields.Optional(conversations.absent),
  },
  _chat,
)


def _sharegpt(row: Row, where: str) -> Iterator[Demonstration]:
  turns = row['conversations']
  if row['system']:
    turns = (Message('system', row['system']), *turns)
  turns = conversations.alternating(turns)
  messages, answer = conversations.answered(turns)
  yield Demonstration(Prompt(messages, where=where), answer)


SHAREGPT = Format(
  'ShareGPT conversations',
  {
    'id': fields.IGNORED,
    'system': fields.TEXT_OR_EMPTY,
    'conversations': conversations.sharegpt,
    'tools': fields.Optional(conversations.absent),
  },
  _sharegpt,
)


def _alpaca(row: Row, where: str) -> Iterator[Demonstration]:
  kind = row['category'] or row['dataset']
  yield from readers.instruction({**row, 'category': kind}, where)


# Taori et al. 2023: a task, its input, the answer. Files of answers of
# AlpacaEval say besides who gave them, and to which set, which is their kind.
ALPACA = Format(
  'Alpaca instructions',
  readers.INSTRUCTIONS
  | fields.ignored('id text generator datasplit')
  | {'output': fields.text, 'dataset': fields.TEXT_OR_EMPTY},
  _alpaca,
)


def _dolly(row: Row, where: str) -> Iterator[Demonstration]:
  task = readers.with_input(row['instruction'], row['context'])
  yield Demonstration(one_turn(task, row['category'], where), row['response'])


DOLLY = Format(
  'Dolly instructions',
  {
    'instruction': fields.filled,
    'context': fields.TEXT_OR_EMPTY,
    'response': fields.text,
    'category': fields.TEXT_OR_EMPTY,
  },
  _dolly,
)


def _completed(row: Row) -> tuple[conversations.Conversation, str]:
  """What was asked and answered by `prompt` and `completion`."""
  completion = row['completion']
  if isinstance(completion, str):
    messages, (completion,) = conversations.exchange(row['prompt'], completion)
    return messages, completion
  return conversations.answered(completion, row['prompt'])


def _completion(row: Row, where: str) -> Iterator[Demonstration]:
  messages, answer = _completed(row)
  yield Demonstration(Prompt(messages, where=where), answer)


COMPLETION = {
  'id': fields.IGNORED,
  'prompt': conversations.said,
  'completion': conversations.said,
  'tools': fields.Optional(conversations.absent),
}
TRL_COMPLETION = Format('TRL prompt-completion', COMPLETION, _completion)


def _unpaired(row: Row, where: str) -> Iterator[Comparison]:
  messages, answer = _completed(row)
  score = 1.0 if row['label'] else -1.0
  yield Comparison(Prompt(messages, where=where), (answer,), scores=(score,))


# Good answers score 1 and others −1.
TRL_UNPAIRED = Format(
  'TRL unpaired preference', COMPLETION | {'label': fields.flag}, _unpaired
)


def _labelled(row: Row, where: str) -> Iterator[Comparison]:
  prompt = Prompt(row['prompt'], row['subset'], where)
  score = 1.0 if row['desirable'] else -1.0
  yield Comparison(prompt, (row['response'],), scores=(score,))


LABELLED = Format(
  'labelled responses',
  {
    'id': fields.IGNORED,
    'subset': fields.TEXT_OR_EMPTY,
    'prompt': fields.turns,
    'response': fields.filled,
    'desirable': fields.flag,
  },
  _labelled,
)


def _prompt(row: Row, where: str) -> Iterator[Prompt]:
  messages, _ = conversations.exchange(row['prompt'])
  yield Prompt(messages, row['subset'], where, answer=row['answer'])


TRL_PROMPTS = Format(
  'TRL prompt-only',
  {
    'id': fields.IGNORED,
    'subset': fields.TEXT_OR_EMPTY,
    'prompt': conversations.said,
    'answer': fields.TEXT_OR_EMPTY,
    'tools': fields.Optional(conversations.absent),
  },
  _prompt,
  asks=True,
)


def _text(row: Row, where: str) -> Iterator[Demonstration]:
  kind = '' if row['label'] is None else f'{row["label"]:g}'
  yield Demonstration(Prompt((), kind, where), row['text'])


# Texts that nobody asked for. A label is their kind.
TEXTS = Format(
  'TRL language modelling',
  {
    'id': fields.IGNORED,
    'text': fields.text,
    'label': fields.Optional(fields.number),
  },
  _text,
  asks=True,
)
PROBLEMS = Format('worked problems', readers.PROBLEMS, readers.problem)


def _of_turn(row: Row, turn: int, where: str) -> Prompt:
  """What is asked at a turn, with its reference answer, if there is one."""
  answers = row['reference'][turn : turn + 1]
  asked = row['turns'][turn]
  return one_turn(asked, row['category'], where, *answers)


def _question(row: Row, where: str) -> Iterator[Prompt | LeftOut]:
  yield _of_turn(row, 0, where)
  for _ in row['turns'][1:]:
    yield LeftOut(where, 'a later turn, which follows an answer not given here')


_QUESTION = {
  'question_id': fields.IGNORED,
  'category': fields.text,
  'turns': fields.list_of(fields.filled, least=1),
  'reference': fields.Optional(fields.list_of(fields.text), ()),
}
# Zheng et al. 2023.
QUESTIONS = Format('MT-bench questions', _QUESTION, _question, asks=True)


def _turn(turn: int) -> Format:
  def question(row, where):
    if turn < len(row['turns']):
      yield _of_turn(row, turn, where)
    else:
      yield LeftOut(where, f'it has no turn {turn + 1}')

  return Format(f'MT-bench questions, turn {turn + 1}', _QUESTION, question)


# The same, each of the two turns for itself. A prompt of the second is what the
# user says then alone, and is `where` its first one is.
TURNS = (_turn(0), _turn(1))


def _instruction(row: Row, where: str) -> Iterator[Prompt]:
  task = readers.with_input(row['instruction'], row['input'])
  yield one_turn(task, row['dataset'], where)


# Dubois et al. 2023: instructions of five sets, whoever answered them.
ALPACA_EVAL = Format(
  'AlpacaEval instructions',
  {
    'instruction': fields.filled,
    'input': fields.TEXT_OR_EMPTY,
    'dataset': fields.TEXT_OR_EMPTY,
  }
  | fields.ignored('id output generator datasplit responses extra_responses'),
  _instruction,
)
