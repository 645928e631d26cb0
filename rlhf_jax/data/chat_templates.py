"""The template of a tokenizer that comes with a Hugging Face chat template."""

import datetime
import re
from collections.abc import Callable, Sequence

import jinja2
import jinja2.sandbox

from rlhf_jax.data import templates, tokens
from rlhf_jax.types import Message, Prompt

# Contents to find again in what is rendered.
RULES = Message('system', 'zebra-rules')
ASKED = Message('user', 'zebra-asked')
REPLIED = Message('assistant', 'zebra-replied')
AGAIN = Message('user', 'zebra-again')


def of(tokenizer: tokens.Tokenizer) -> templates.Template:
  """The template that a tokenizer comes with, or else templates.SPEAKERS.

  Raises:
    TemplateError: its chat template does more than put markers around turns.
  """
  if not tokenizer.chat_template:
    return templates.SPEAKERS

  def render(*messages: Message, opened: bool = False) -> str:
    return jinja(tokenizer, messages, opened=opened)

  conversation = (ASKED, REPLIED, AGAIN)
  try:
    template = _template(render, tokenizer)
    rendered = render(*conversation, opened=True)
  except (jinja2.TemplateError, ValueError) as error:
    raise templates.TemplateError(
      f'the chat template of this tokenizer cannot be read ({error}); write '
      'its markers as a templates.Template.'
    ) from error
  if template.render(Prompt(conversation)) != rendered:
    raise templates.TemplateError(
      'the chat template of this tokenizer does more than put markers around '
      'turns; write the markers you want as a templates.Template.'
    )
  return template


def jinja(
  tokenizer: tokens.Tokenizer, messages: Sequence[Message], *, opened: bool
) -> str:
  """Renders the tokenizer's chat template as transformers does.

  Args:
    opened: whether to go on to where the assistant's next turn begins.
  """

  def refuse(reason: str):
    raise jinja2.TemplateError(reason)

  environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=['jinja2.ext.loopcontrols'],
  )
  environment.globals['raise_exception'] = refuse
  environment.globals['strftime_now'] = datetime.datetime.now().strftime
  # Marks for training frameworks, known to transformers alone.
  source = re.sub(
    r'{%-?\s*(end)?generation\s*-?%}', '', tokenizer.chat_template
  )
  named = {k: v for k, v in tokenizer.extra.items() if k.endswith('_token')}
  return environment.from_string(source).render(
    messages=[message._asdict() for message in messages],
    add_generation_prompt=opened,
    **named | {'eos_token': tokenizer.eos, 'pad_token': tokenizer.pad},
  )


def _template(
  render: Callable[..., str], tokenizer: tokens.Tokenizer
) -> templates.Template:
  """Takes renderings of known contents apart into the markers between them."""
  _, closed = _apart(render(ASKED), ASKED)
  first, between, replied = _apart(render(ASKED, REPLIED), ASKED, REPLIED)
  _, _, next_turn, _ = _apart(
    render(ASKED, REPLIED, AGAIN), ASKED, REPLIED, AGAIN
  )
  user = next_turn.removeprefix(replied)
  try:
    rules, after_rules, _ = _apart(render(RULES, ASKED), RULES, ASKED)
    system = (rules, after_rules.removesuffix(user))
  except (jinja2.TemplateError, ValueError):
    system = None  # Refused, or folded into the user's turn.
  markers = [first, between, next_turn, *(system or ())]
  return templates.Template(
    begin=first.removesuffix(user),
    user=(user, closed),
    assistant=(between.removeprefix(closed), replied),
    system=system,
    special=tuple(
      name for name in tokenizer.special_ids if name in ''.join(markers)
    ),
  )


def _apart(text: str, *messages: Message) -> list[str]:
  """What stands before, between and after the contents of messages."""
  parts = []
  for message in messages:
    before, text = text.split(message.content)
    parts.append(before)
  return [*parts, text]
