"""Conversations by a template that may ask more than once."""

from collections.abc import Iterable, Sequence
from typing import Any

from rlhf_jax.feedback.verdicts.template import Template
from rlhf_jax.types import Message

LETTERS_A_TOKEN = 4  # Of English, about.

Conversation = tuple[Message, ...]


def after_replies(
  asked: Any, template: Template, rows: Sequence[tuple[Any, ...]]
) -> list[Conversation]:
  """What verdicts on N rows are asked by, once all asked before has replies.

  Args:
    asked: the model, as of `asking.Asked`; equal conversations are put to it
      once.
    template: of the conversations.
    rows: N of (prompt, response or two responses).
  """
  said: list[dict[str, str]] = [{} for _ in rows]
  for name in template.before:
    put = _filled(template, rows, said, name)
    _note(said, name, put, _replies(asked, put))
  return _filled(template, rows, said)


def foreseen(
  asked: Any, template: Template, rows: Sequence[tuple[Any, ...]]
) -> tuple[list[Conversation], list[Conversation]]:
  """All that would be asked about N rows: before the verdicts, and for them.

  Nothing is asked: of replies that are not `kept`, texts as long as they may
  be stand in the conversations for the verdicts.
  """
  said: list[dict[str, str]] = [{} for _ in rows]
  before: list[Conversation] = []
  for name in template.before:
    put = _filled(template, rows, said, name)
    different = list(dict.fromkeys(put))
    before += different
    longest = 'x' * LETTERS_A_TOKEN * template.max_tokens
    replies = {
      conversation: longest if answer is None else answer.text
      for conversation, answer in zip(
        different, asked.kept(different), strict=True
      )
    }
    _note(said, name, put, replies)
  return before, _filled(template, rows, said)


def _filled(template, rows, said, name=None) -> list[Conversation]:
  return [
    template.filled(*row, said=known, name=name)
    for row, known in zip(rows, said, strict=True)
  ]


def _replies(asked, put: Iterable[Conversation]) -> dict[Conversation, str]:
  different = list(dict.fromkeys(put))
  if not different:
    return {}
  answers = asked.answers(different)
  return dict(zip(different, (a.text for a in answers), strict=True))


def _note(said, name, put, replies) -> None:
  """Adds the reply to each row's conversation to what it knows."""
  for known, conversation in zip(said, put, strict=True):
    known[name] = replies[conversation]
