"""Conversations by a template that may ask more than once."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rlhf_jax.feedback.endpoint import Answer
from rlhf_jax.feedback.verdicts.template import Template
from rlhf_jax.types import Message

LETTERS_A_TOKEN = 4  # Of English, about.

Conversation = tuple[Message, ...]


def answers(
  asked: Any, template: Template, rows: Sequence[tuple[Any, ...]]
) -> list[Answer]:
  """What a model says for verdicts on N rows, after all that is asked before.

  A row whose earlier question is refused is asked no further: this refusal is
  its answer.

  Args:
    asked: the model, as of `asking.Asked`; equal conversations of those before
      are put to it once.
    template: of the conversations.
    rows: N of (prompt, response or two responses).
  """
  led = _led(template, rows, asked.answers)
  put = [
    conversation
    for conversation, refused in zip(led.last, led.refused, strict=True)
    if refused is None
  ]
  said = iter(asked.answers(put, options=template.options) if put else [])
  return [next(said) if refused is None else refused for refused in led.refused]


def foreseen(
  asked: Any, template: Template, rows: Sequence[tuple[Any, ...]]
) -> tuple[list[Conversation], list[Conversation]]:
  """All that would be asked about N rows: before the verdicts, and for them.

  Nothing is asked: of replies that are not `kept`, texts as long as they may
  be stand in the conversations for the verdicts. In place of one that an
  earlier refusal precludes stands the conversation that was refused.
  """
  longest = Answer('x' * LETTERS_A_TOKEN * template.max_tokens)

  def kept(conversations):
    said = asked.kept(conversations)
    return [longest if answer is None else answer for answer in said]

  led = _led(template, rows, kept)
  return led.before, led.last


class _Led(NamedTuple):
  """Rows, once all that is asked before their verdicts was.

  Attributes:
    before: what was asked, each once of a name.
    last: [N] what a row's verdict is asked by, or what was refused before.
    refused: [N] the answer that refuses it, or None.
  """

  before: list[Conversation]
  last: list[Conversation]
  refused: list[Answer | None]


def _led(
  template: Template,
  rows: Sequence[tuple[Any, ...]],
  reply: Callable[[list[Conversation]], list[Answer]],
) -> _Led:
  """Asks what comes before N rows' verdicts, by `reply`."""
  said: list[dict[str, str]] = [{} for _ in rows]
  before, refused = [], {}
  for name in template.before:
    put = {
      i: template.filled(*row, said=said[i], name=name)
      for i, row in enumerate(rows)
      if i not in refused
    }
    different = list(dict.fromkeys(put.values()))
    before += different
    replies = reply(different) if different else []
    known = dict(zip(different, replies, strict=True))
    for i, conversation in put.items():
      if known[conversation].refusal is None:
        said[i][name] = known[conversation].text
      else:
        refused[i] = conversation, known[conversation]
  last = [
    refused[i][0] if i in refused else template.filled(*row, said=said[i])
    for i, row in enumerate(rows)
  ]
  whys = [refused[i][1] if i in refused else None for i in range(len(rows))]
  return _Led(before, last, whys)
