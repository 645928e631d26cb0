"""Formats of one answer to a prompt, or of prompts alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from rlhf_jax.data import fields, ranked_readers, rated_readers, readers
from rlhf_jax.data.formats import conversations
from rlhf_jax.data.formats.format import Format
from rlhf_jax.data.formats.preferences import IGNORED, OPTIONAL_TEXT
from rlhf_jax.data.gathering import LeftOut
from rlhf_jax.types import Comparison, Demonstration, Message, Prompt, Rated

Row = Mapping[str, Any]


def _chat(row: Row, where: str) -> Iterator[Demonstration]:
  messages, answer = conversations.answered(row['messages'])
  yield Demonstration(Prompt(messages, where=where), answer)


# A conversation, its last answer to be imitated.
CHAT = Format(
  'chat messages',
  {
    'id': IGNORED,
    'source': IGNORED,
    'prompt': IGNORED,
    'prompt_id': IGNORED,
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
    'id': IGNORED,
    'system': OPTIONAL_TEXT,
    'conversations': conversations.sharegpt,
    'tools': fields.Optional(conversations.absent),
  },
  _sharegpt,
)


# Taori et al. 2023: a task, what it is about, the answer.
ALPACA = Format(
  'Alpaca instructions',
  readers.INSTRUCTIONS
  | {
    'id': IGNORED,
    'text': IGNORED,
    'input': OPTIONAL_TEXT,
    'output': fields.text,
  },
  readers.instruction,
)


def _dolly(row: Row, where: str) -> Iterator[Demonstration]:
  said = readers.told(row['instruction'], row['context'])
  prompt = Prompt((Message('user', said),), row['category'], where)
  yield Demonstration(prompt, row['response'])


DOLLY = Format(
  'Dolly instructions',
  {
    'instruction': fields.filled,
    'context': OPTIONAL_TEXT,
    'response': fields.text,
    'category': fields.Optional(fields.text, ''),
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
  'id': IGNORED,
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
LABELLED = Format(
  'labelled responses', ranked_readers.LABELLED, ranked_readers.verdict
)


def _prompt(row: Row, where: str) -> Iterator[Prompt]:
  messages, _ = conversations.exchange(row['prompt'])
  yield Prompt(messages, row['subset'], where, answer=row['answer'])


TRL_PROMPTS = Format(
  'TRL prompt-only',
  {
    'id': IGNORED,
    'subset': fields.Optional(fields.text, ''),
    'prompt': conversations.said,
    'answer': fields.Optional(fields.text, ''),
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
    'id': IGNORED,
    'text': fields.text,
    'label': fields.Optional(fields.number),
  },
  _text,
  asks=True,
)
PROBLEMS = Format('worked problems', readers.PROBLEMS, readers.problem)


def _question(row: Row, where: str) -> Iterator[Prompt | LeftOut]:
  first, *later = row['turns']
  yield Prompt((Message('user', first),), row['category'], where)
  for _ in later:
    yield LeftOut(where, 'a later turn, which follows an answer not given here')


# Zheng et al. 2023.
QUESTIONS = Format(
  'MT-bench questions',
  {
    'question_id': IGNORED,
    'category': fields.text,
    'turns': fields.list_of(fields.filled, least=1),
    'reference': IGNORED,
  },
  _question,
  asks=True,
)

# Wang et al. 2023: five attributes from 0 to 4.
HELPSTEER_ATTRIBUTES = (
  'helpfulness',
  'correctness',
  'coherence',
  'complexity',
  'verbosity',
)


def _helpsteer(row: Row, where: str) -> Iterator[Rated]:
  prompt = Prompt((Message('user', row['prompt']),), where=where)
  ratings = tuple(
    rated_readers.level(row[name]) for name in HELPSTEER_ATTRIBUTES
  )
  yield Rated(prompt, row['response'], ratings)


HELPSTEER = Format(
  'HelpSteer',
  {'prompt': fields.filled, 'response': fields.text}
  | dict.fromkeys(HELPSTEER_ATTRIBUTES, rated_readers.between(0.0, 4.0)),
  _helpsteer,
)
OASST_RATED = Format('rated replies', rated_readers.OASST, rated_readers.reply)
HANNA = Format('HANNA stories', rated_readers.HANNA, rated_readers.story)
