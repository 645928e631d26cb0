"""Conversations as files write them: a text, messages, or names before turns.

What a file of a public format must not hold is a fields.Fault, and stops the
reading. What such files do hold here and there, and nothing can be learnt from,
is Unusable: the row is left out and counted.
"""

import re
from collections.abc import Mapping, Sequence
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
  """A field of what is not read here, such as calls of tools."""
  if value:
    raise fields.Fault('is not read here, and must be null or left out.')


def _part(value: Any) -> str:
  """One of the parts that a content is given in; only texts are read."""
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
  """A list of messages. A system turn that says nothing is left away."""
  read = [Message(m['role'], m['content']) for m in _messages(value)]
  return tuple(read[read[0] == ('system', '') :])


def sharegpt(value: Any) -> Conversation:
  """A list of turns as ShareGPT has them, who speaks in `from`."""
  return tuple(Message(turn['from'], turn['value']) for turn in _turns(value))


def said(value: Any) -> str | Conversation:
  """A text, or a list of messages."""
  return messages(value) if isinstance(value, list) else fields.text(value)


def dialogue(value: Any) -> Conversation:
  """A text whose turns are named, '\\n\\nHuman: … \\n\\nAssistant: …'."""
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
  """What was asked and the answers, of texts or of messages and texts.

  A prompt whose turns are named, as '\\n\\nHuman: hi\\n\\nAssistant:', is its
  turns, and the space between that name and an answer belongs to neither.
  """
  if isinstance(prompt, str) and HALF_DIALOGUE.fullmatch(prompt):
    return asked(dialogue(prompt)[:-1]), tuple(a.strip() for a in answers)
  return asked(prompt), answers


def asked(prompt: str | Conversation) -> Conversation:
  """A prompt's conversation, of which the user has the last word."""
  if isinstance(prompt, str):
    prompt = (Message('user', prompt),)
  if not all(fields.visible(message.content) for message in prompt):
    raise Unusable('a turn of the prompt is empty')
  return fields.asked(prompt)


def answered(
  conversation: Conversation, prompt: str | Conversation | None = None
) -> tuple[Conversation, str]:
  """What was asked, and the answer that ends a conversation.

  Args:
    conversation: it may be the whole, or only what follows the prompt.
    prompt: the prompt, where the file gives it beside.
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
  """A conversation of a source where some do not take turns."""
  spoken = conversation[conversation[0].role == 'system' :]
  due = ('user', 'assistant') * len(spoken)
  if any(m.role != role for m, role in zip(spoken, due, strict=False)):
    raise Unusable('the turns do not alternate')
  return conversation


def pair(
  row: Mapping[str, Any],
) -> tuple[Conversation, tuple[str, str]]:
  """What was asked, and the answers of a row's `chosen` and `rejected`.

  The prompt is the row's `prompt` or, where there is none, what the two begin
  with alike: their messages up to the last or, of texts, their first words.
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
  """The words that two texts begin with, and what follows in each."""
  end = _common(chosen, rejected)
  if end < max(len(chosen), len(rejected)):  # No word is cut in two.
    end = max(chosen.rfind(' ', 0, end), 0)
  if not fields.visible(chosen[:end]):
    raise Unusable('there is no prompt, nor do the two begin alike')
  return chosen[:end], (chosen[end:], rejected[end:])


def _common(one: Sequence, other: Sequence) -> int:
  """How many items two sequences begin with alike."""
  pairs = zip(one, other, strict=False)
  return next(
    (i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other))
  )
