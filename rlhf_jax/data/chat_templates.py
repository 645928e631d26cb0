"""The chat template that a tokenizer comes with."""

import dataclasses
from collections.abc import Sequence

from rlhf_jax.data import chat_jinja, reading, templates, tokens
from rlhf_jax.data.chat_jinja import TemplateError
from rlhf_jax.data.jinja_template import ChatTemplate
from rlhf_jax.data.tokenizer import flag_special
from rlhf_jax.types import Message

ASKED = Message('user', 'zebra-asked')
REPLIED = Message('assistant', 'zebra-replied')


def of(
  tokenizer: tokens.Tokenizer, *, date: str = chat_jinja.DATE
) -> templates.Format:
  """The template that a tokenizer comes with, or else templates.SPEAKERS.

  Without a template of its own, texts open as the tokenizer opens any: a base
  model has its BOS.

  Args:
    tokenizer: from a folder, or trained here.
    date: what day a template is told that asks for it, YYYY-MM-DD.

  Raises:
    TemplateError: its chat template fails, or does not open or write an
      assistant's turn so that a response could be learnt.
  """
  if not tokenizer.chat_template:
    return templates.SPEAKERS
  ours = tokenizer.special_ids.keys() >= set(templates.CHAT.special)
  if ours and tokenizer.chat_template == templates.CHAT.jinja:
    return templates.CHAT  # The same ids in a fraction of the time.
  template = ChatTemplate(
    jinja=tokenizer.chat_template,
    named=tuple(sorted(tokenizer.named.items())),
    date=date,
  )

  def read(*messages: Message, opened: bool) -> reading.Reading:
    return reading.read(
      template.jinja, template.named, date, tokenizer, messages, opened
    )

  try:
    asked, unopened = (read(ASKED, opened=opened) for opened in (True, False))
    told = read(ASKED, REPLIED, opened=False)
    _check_answer(tokenizer, asked, unopened, told)
  except (TemplateError, tokens.VocabularyError) as error:
    raise TemplateError(
      f'the chat template of this tokenizer cannot be read ({error}); give its '
      'folder another chat_template.jinja.'
    ) from error
  _, end = told.span(1)
  closed = tokenizer.marks.found(told.text[end:])[:1]
  # Or it would be read as a response's last words: some folders do not flag it.
  flag_special(tokenizer.backend, closed)
  return dataclasses.replace(template, end=''.join(closed))


def jinja(
  tokenizer: tokens.Tokenizer,
  messages: Sequence[Message],
  *,
  opened: bool,
  date: str = chat_jinja.DATE,
) -> str:
  """Renders the tokenizer's chat template as transformers does.

  Args:
    opened: whether to go on to where the assistant's next turn begins.
    date: what day it is, YYYY-MM-DD.
  """
  return chat_jinja.render(
    tokenizer.chat_template,
    messages,
    opened=opened,
    tokens=tokenizer.named,
    date=date,
  )


def _check_answer(
  tokenizer: tokens.Tokenizer,
  asked: reading.Reading,
  unopened: reading.Reading,
  told: reading.Reading,
) -> None:
  """Whether an answer goes on from where the assistant's turn was opened."""
  if told.span(1) is None:
    raise TemplateError('what the assistant says does not come out of it')
  if not told.text.startswith(asked.text):
    raise TemplateError(
      "it opens the assistant's turn otherwise than it writes one"
    )
  before = told.text[len(asked.text) : told.span(1)[0]]
  if asked.text == unopened.text and before.strip():
    raise TemplateError(
      f"it does not open the assistant's turn where add_generation_prompt asks "
      f'for it, and writes {tokenizer.marks.read(before)!r} before an answer'
    )
