"""Chat templates in Jinja, rendered as transformers renders them.

A template is a program from somebody else's folder, so its loops and its output
are bounded.
"""

import datetime
import functools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jinja2
import jinja2.sandbox
from jinja2 import nodes

from rlhf_jax.types import Message

# Today's date for a template, Llama 3's default: the ids of a prompt must not
# depend on when it is encoded.
DATE = '2024-07-26'

STEPS = 100_000  # Of all loops over `range` together; Jinja's limit for one.
ROOM = 1_000_000  # Characters that a template may write beside the contents…
TIMES = 16  # … and how many times it may write the contents.


class ChatTemplateError(ValueError):
  """A conversation or a tokenizer that a template cannot serve."""


class _Environment(jinja2.sandbox.ImmutableSandboxedEnvironment):
  """Jinja's sandbox, without products that would fill the memory."""

  intercepted_binops = frozenset(('*', '**'))

  def call_binop(self, context, operator, left, right):
    sizes = [
      x if isinstance(x, int) else len(x)
      for x in (left, right)
      if isinstance(x, int | str | list | tuple)
    ]
    most = ROOM if operator == '*' else 64
    if sizes and max(map(abs, sizes)) > most:
      raise jinja2.TemplateError(f'{operator} makes too much of {max(sizes)}')
    return super().call_binop(context, operator, left, right)


class JinjaTemplate(NamedTuple):
  """A chat template, with what it reads besides a conversation.

  Attributes:
    jinja: the template.
    named: (name, token) pairs that it may read, such as 'bos_token'.
    date: today for the template, YYYY-MM-DD.
  """

  jinja: str
  named: tuple[tuple[str, str], ...] = ()
  date: str = DATE

  def render(self, messages: Sequence[Message], *, opened: bool) -> str:
    """A conversation as the template writes it.

    Args:
      messages: the conversation.
      opened: whether to open the assistant's next turn.

    Raises:
      ChatTemplateError: the template refuses, with its reason, or fails.
    """
    said = sum(len(message.content) for message in messages)
    room = TIMES * said + ROOM
    pieces = []
    try:
      for piece in compiled(self.jinja).generate(
        messages=[{'role': role, 'content': said} for role, said in messages],
        add_generation_prompt=opened,
        tools=None,
        documents=None,
        strftime_now=datetime.datetime.fromisoformat(self.date).strftime,
        range=_counted(STEPS),
        **dict(self.named),
      ):
        pieces.append(piece)
        room -= len(piece)
        if room < 0:
          raise jinja2.TemplateError('it writes without end')
    except Exception as error:  # A program of somebody's may raise anything.
      reason = str(error).rstrip('.') or type(error).__name__
      raise ChatTemplateError(reason) from error
    return ''.join(pieces)


@functools.lru_cache(maxsize=16)
def compiled(source: str) -> jinja2.Template:
  """A chat template, with what transformers offers to it."""
  return _environment().from_string(_without_marks(source))


def parsed(source: str) -> nodes.Template:
  """The syntax tree of a chat template."""
  return _environment().parse(_without_marks(source))


def _environment() -> jinja2.Environment:
  def refuse(reason: str):
    raise jinja2.TemplateError(reason)

  environment = _Environment(
    trim_blocks=True, lstrip_blocks=True, extensions=['jinja2.ext.loopcontrols']
  )
  environment.globals['raise_exception'] = refuse
  environment.filters['tojson'] = _json
  return environment


def _json(value: Any, ensure_ascii=False, **layout) -> str:
  # Jinja's own escapes what HTML would read.
  return json.dumps(value, ensure_ascii=ensure_ascii, **layout)


def _without_marks(source: str) -> str:
  # A tag that only transformers knows.
  return re.sub(r'{%-?\s*(end)?generation\s*-?%}', '', source)


def _counted(steps: int) -> Callable[..., range]:
  """`range`, limited to `steps` in all calls together."""
  left = steps

  def counted(*bounds: int) -> range:
    nonlocal left
    steps = range(*bounds)
    left -= len(steps)
    if left < 0:
      raise jinja2.TemplateError('it loops without end')
    return steps

  return counted
