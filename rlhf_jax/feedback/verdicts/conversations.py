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
) -> list[Conversation]:
  """All that would be asked about N rows, before and for the verdicts.

  A model that knows what it was not asked yet (`unanswered`) gives the replies
  that are kept; in place of others stand texts as long as they may be.
  """
  said: list[dict[str, str]] = [{} for _ in rows]
  found: list[Conversation] = []
  for name in template.before:
    put = _filled(template, rows, said, name)
    found += dict.fromkeys(put)
    new = set(put)
    if unanswered := getattr(asked, 'unanswered', None):
      new = set(unanswered(list(new)))
    replies = _replies(asked, [c for c in put if c not in new])
    longest = 'x' * LETTERS_A_TOKEN * template.max_tokens
    _note(said, name, put, dict.fromkeys(new, longest) | replies)
  return [*found, *_filled(template, rows, said)]


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
