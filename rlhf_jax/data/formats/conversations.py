"""Conversations as files write them: a text, messages, or named turns.

A row that breaks its format is a fields.Fault, and stops the reading. A row of
which nothing can be learnt, as public files have here and there, is Unusable:
it is left out and counted.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

from rlhf_jax.data import fields
from rlhf_jax.types import Message

Conversation = tuple[Message, ...]

NAMED = re.compile(r'(?:\A|\n\n)(Human|Assistant):')
HALF_DIALOGUE = re.compile(r'\s*Human:.*(\r?\n){2}Assistant:\s*', re.DOTALL)
ROLES = {'Human': 'user', 'Assistant': 'assistant'}
# Who speaks, in ShareGPT's words.
SHAREGPT_ROLES = {
  'human': 'user',
  'user': 'user',
  'gpt': 'assistant',
  'chatgpt': 'assistant',
  'assistant': 'assistant',
  'system': 'system',
}


class Unusable(Exception):
  """Why nothing can be learnt from a row, as a clause."""


def absent(value: Any) -> None:
  """A field that must be empty, as calls of tools are not read."""
  if value:
    raise fields.Fault('is not read here, and must be null or left out.')


def _part(value: Any) -> str:
  """The text of one part of a content; other types of parts are refused."""
  if not isinstance(value, dict):
    raise fields.Fault(f'must be an object, not {fields.kind(value)}.')
  if value.get('type') != 'text':
    raise fields.Fault(
      f'is a part of type {str(value.get("type"))[:20]!r}; only parts of type '
      "'text' are read."
    )
  return _text_part(value)['text']


def _content(value: Any) -> str:
  """A text, or the texts of a list of parts, joined."""
  if isinstance(value, list):
    return ''.join(_parts(value))
  return fields.text(value)


def _role(value: Any) -> str:
  if value in ('tool', 'function', 'ipython'):
    raise fields.Fault(
      f'is {value!r}: what tools say is not read; leave the conversation out.'
    )
  return fields.role(value)


def _speaker(value: Any) -> str:
  if fields.text(value) not in SHAREGPT_ROLES:
    raise fields.Fault(
      f'must be one of {", ".join(SHAREGPT_ROLES)}, not {value[:40]!r}.'
    )
  return SHAREGPT_ROLES[value]


NO_TOOLS = {
  name: fields.Optional(absent)
  for name in ('name', 'tool_calls', 'tool_call_id', 'function_call', 'refusal')
}
_text_part = fields.object_of({'type': fields.text, 'text': fields.text})
_parts = fields.list_of(_part)
_messages = fields.list_of(
  fields.object_of({'role': _role, 'content': _content} | NO_TOOLS), least=1
)
_turns = fields.list_of(
  fields.object_of({'from': _speaker, 'value': fields.text}), least=1
)


def messages(value: Any) -> Conversation:
  """A list of messages, without an empty system turn."""
  read = [Message(m['role'], m['content']) for m in _messages(value)]
  return tuple(read[read[0] == ('system', '') :])


def sharegpt(value: Any) -> Conversation:
  """A list of turns {'from', 'value'}, as ShareGPT has them."""
  return tuple(Message(turn['from'], turn['value']) for turn in _turns(value))


def said(value: Any) -> str | Conversation:
  """A text, or a list of messages."""
  return messages(value) if isinstance(value, list) else fields.text(value)


def dialogue(value: Any) -> Conversation:
  """A text of named turns, '\\n\\nHuman: … \\n\\nAssistant: …'."""
  text = fields.text(value).replace('\r\n', '\n')
  opening, *pieces = NAMED.split(text.lstrip())
  if opening or not pieces:
    raise fields.Fault(
      "must begin with '\\n\\nHuman:' and name every turn like that."
    )
  names, contents = pieces[::2], pieces[1::2]
  return tuple(
    Message(ROLES[name], content.strip())
    for name, content in zip(names, contents, strict=True)
  )


def exchange(
  prompt: str | Conversation, *answers: str
) -> tuple[Conversation, tuple[str, ...]]:
  """The prompt's conversation, and the answers.

  A text of named turns, as '\\n\\nHuman: hi\\n\\nAssistant:', is split into
  them, and answers lose the space after the last name.
  """
  if isinstance(prompt, str) and HALF_DIALOGUE.fullmatch(prompt):
    return asked(dialogue(prompt)[:-1]), tuple(a.strip() for a in answers)
  return asked(prompt), answers


def asked(prompt: str | Conversation) -> Conversation:
  """A prompt's conversation, which ends with the user's turn."""
  if isinstance(prompt, str):
    prompt = (Message('user', prompt),)
  if not all(fields.visible(message.content) for message in prompt):
    raise Unusable('a turn of the prompt is empty')
  return fields.asked(prompt)


def answered(
  conversation: Conversation, prompt: str | Conversation | None = None
) -> tuple[Conversation, str]:
  """The prompt's conversation, and the answer that ends it.

  Args:
    conversation: the whole of it, or only what follows the prompt.
    prompt: the prompt, if the file gives it separately.
  """
  if not conversation or conversation[-1].role != 'assistant':
    raise Unusable('the conversation does not end with an answer')
  before = conversation[:-1]
  if isinstance(prompt, str):
    before = before or (Message('user', prompt),)
    if prompt.strip() not in [message.content.strip() for message in before]:
      raise Unusable('the prompt is no turn of the conversation')
  elif prompt is not None and before[: len(prompt)] != prompt:
    before = prompt + before
  return asked(before), conversation[-1].content


def alternating(conversation: Conversation) -> Conversation:
  """The conversation; Unusable if user and assistant do not alternate."""
  spoken = conversation[conversation[0].role == 'system' :]
  due = ('user', 'assistant') * len(spoken)
  if any(m.role != role for m, role in zip(spoken, due, strict=False)):
    raise Unusable('the turns do not alternate')
  return conversation


def pair(row: Mapping[str, Any]) -> tuple[Conversation, tuple[str, str]]:
  """The prompt's conversation, and a row's `chosen` and `rejected` answers.

  The prompt is the row's `prompt` or, where there is none, the common start of
  the two: their messages up to the last or, of texts, their first words.
  """
  prompt, ends = row['prompt'], (row['chosen'], row['rejected'])
  if all(isinstance(end, str) for end in ends):
    if prompt is None:
      prompt, ends = shared_start(*ends)
    return exchange(prompt, *ends)
  if any(isinstance(end, str) for end in ends):
    raise fields.Fault("has a text and messages in 'chosen' and 'rejected'.")
  (first, chosen), (second, rejected) = (answered(end, prompt) for end in ends)
  if first != second:
    raise Unusable('the two conversations differ before the last answer')
  return first, (chosen, rejected)


def shared_start(chosen: str, rejected: str) -> tuple[str, tuple[str, str]]:
  """The words with which two texts begin alike, and the rest of each."""
  end = len(os.path.commonprefix((chosen, rejected)))
  if end < max(len(chosen), len(rejected)):  # No word is cut in two.
    end = max(chosen.rfind(' ', 0, end), 0)
  if not fields.visible(chosen[:end]):
    raise Unusable('there is no prompt, nor do the two begin alike')
  return chosen[:end], (chosen[end:], rejected[end:])
