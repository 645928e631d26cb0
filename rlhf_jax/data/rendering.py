"""Conversations to ids by a chat template, many at a time.

Each is rendered once at most. Its skeleton says what the template wrote and
what people did (`data.skeletons`); where it does not hold, stand-ins do
(`data.stand_ins`).
"""

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rlhf_jax.data import (
  chat_jinja,
  chat_syntax,
  skeletons,
  stand_ins,
  tokens,
)
from rlhf_jax.data.chat_jinja import ChatTemplateError
from rlhf_jax.data.encodings import Encodings
from rlhf_jax.data.reading import Owned, Pieces, Reading
from rlhf_jax.data.skeletons import Filled
from rlhf_jax.data.stand_ins import owner
from rlhf_jax.types import Message

ROLES = ('system', 'user', 'assistant')


class Conversation(NamedTuple):
  """What is rendered.

  Attributes:
    messages: the conversation.
    opened: whether to open the assistant's next turn.
    asked: where it is an answered prompt, the prompt.
  """

  messages: tuple[Message, ...]
  opened: bool
  asked: tuple[Message, ...] | None = None


class Reader(NamedTuple):
  """Reads conversations.

  Attributes:
    source: the chat template.
    tokenizer: the folder's own.
  """

  source: chat_jinja.JinjaTemplate
  tokenizer: tokens.Tokenizer

  def read(self, conversation: Conversation) -> Reading:
    """Renders a conversation and encodes it.

    Raises:
      ChatTemplateError: the template refuses, or changes contents beyond
        cutting.
      VocabularyError: the tokenizer cannot encode it.
    """
    (found,) = self.read_all([conversation])
    if isinstance(found, Exception):
      raise found
    return found

  def read_all(
    self, conversations: Iterable[Conversation]
  ) -> list[Reading | ChatTemplateError | tokens.VocabularyError]:
    """Reads many, their texts encoded together; the error of one without."""
    marks, written = self.tokenizer.marks, []
    before, asked = None, None  # The last prompt, and how it is written.
    for conversation in conversations:
      try:
        known = asked if conversation.asked is before else None
        written.append(self._written(conversation, known))
      except ChatTemplateError as error:
        written.append(error)
      if conversation.opened:
        before, asked = conversation.messages, written[-1]
    encodings = (Pieces if marks.apart else Encodings)(
      self.tokenizer,
      itertools.chain.from_iterable(
        one.pieces if marks.apart else [''.join(one.pieces)]
        for one in written
        if not isinstance(one, ChatTemplateError)
      ),
    )
    return [
      one if isinstance(one, ChatTemplateError) else self._read(one, encodings)
      for one in written
    ]

  def _read(self, written, encodings):
    try:
      return Reading(written, encodings, self.tokenizer.marks)
    except (ChatTemplateError, tokens.VocabularyError) as error:
      return error

  def _written(
    self, conversation: Conversation, asked: Filled | Owned | None
  ) -> Filled | Owned:
    """The text in pieces, and whose it is; errors as of `read`.

    Args:
      asked: the prompt that it answers, where that is known.
    """
    messages, opened, _ = conversation
    if not isinstance(asked, Filled):
      checked(messages)
    skeleton = skeletons.learn(*self, tuple([r for r, _ in messages]), opened)
    writes = skeleton is not None and chat_syntax.only_writes(self.source.jinja)
    if writes and isinstance(asked, Filled) and self.tokenizer.marks.apart:
      filled = skeleton.answer(asked, str(messages[-1].content))
      if filled is not None:
        return filled
    said = [str(content) for _, content in messages]
    filled = skeleton.fill(said) if writes else None
    if filled is not None:
      return filled
    text = self._rendered(conversation, said)
    filled = skeleton and skeleton.fill(said, text)
    return filled or self._looked_for(conversation, said, text)

  def _rendered(self, conversation, said: Sequence[str]) -> str:
    """The text with other contents."""
    roles = (message.role for message in conversation.messages)
    messages = list(map(Message, roles, said))
    return self.source.render(messages, opened=conversation.opened)

  def _looked_for(self, conversation, said, text) -> Owned:
    """As `_written`, where no skeleton holds."""
    special, marks = self.tokenizer.special_ids, self.tokenizer.marks
    literals = chat_syntax.looked_for(self.source.jinja)
    located = stand_ins.locate(
      text,
      said,
      functools.partial(self._rendered, conversation),
      looked_for=[t for t in literals if t not in special],
    )
    if located is None:
      _check_unmarked(marks, said)
      return Owned(marks.cut(marks.spell(text)), '')
    image = marks.spell(located.image)
    owners = image.translate(located.owners)
    _check_system(conversation.messages, owners)
    return Owned(marks.cut(image.translate(located.characters)), owners)


def checked(messages: Sequence[Message]) -> Sequence[Message]:
  """The messages themselves, whose roles are ROLES.

  Raises:
    ChatTemplateError: one is another.
  """
  for role, _ in messages:
    if role not in ROLES:
      raise ChatTemplateError(
        f'a turn of role {role!r} is none of {", ".join(ROLES)}'
      )
  return messages


def _check_unmarked(marks, said: Sequence[str]) -> None:
  typed = [name for content in said for name in marks.typed(content)]
  if typed:
    raise ChatTemplateError(
      f'it changes what is said, which spells its token {typed[0]!r}'
    )


def _check_system(messages: Sequence[Message], owners: str) -> None:
  for k, message in enumerate(messages):
    lost = owner(k) not in owners
    if message.role == 'system' and message.content.strip() and lost:
      raise ChatTemplateError('it leaves out what the system says')
