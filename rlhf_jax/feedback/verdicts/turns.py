"""Answers of several turns as one text, and the turns of such a text again.

An answer to a question of two turns is one text, as judges and files have it:
the first answer, what the user asks then on a line of its own, the second.
"""

import re
from collections.abc import Sequence

from rlhf_jax.types import Prompt

_ASKED = '\n\n[The user asks next: {}]\n\n'
_FOUND = re.compile('(.*?)'.join(map(re.escape, _ASKED.split('{}'))), re.DOTALL)


def joined(first: str, later: Sequence[tuple[str, str]]) -> str:
  """An answer, and later questions and answers, as one text."""
  return first + ''.join(_ASKED.format(q) + answer for q, answer in later)


def two(
  prompt: Prompt, responses: Sequence[str]
) -> tuple[tuple[str, str], list[tuple[str, str]]] | None:
  """Two questions, and what each response answers to them.

  Either the responses are of two turns, as of `joined`, or the prompt is: then
  the answer to its first question is the same of all of them. What stands
  before the first question, such as a system's message, is told with it.

  Args:
    prompt: what is asked, at first or in all.
    responses: to it, one or more.

  Returns:
    The questions, and each response's answers to them; None where it is no
    conversation of two turns.
  """
  messages = prompt.messages
  places = [i for i, message in enumerate(messages) if message.role == 'user']
  said = [message.content for message in messages]
  if len(places) == 2:
    first, second = (place + 1 for place in places)
    asked = '\n\n'.join(said[:first])
    answer = '\n\n'.join(said[first : second - 1])
    return (asked, said[-1]), [(answer, text) for text in responses]
  # What one answer makes look like a question of the user's, another has not;
  # of a response that is alone nothing tells, and its first mark counts.
  found = [_FOUND.findall(text) for text in responses]
  shared = [q for q in found[0] if all(q in other for other in found)]
  if len(places) != 1 or not shared:
    return None
  mark = _ASKED.format(shared[0])
  parts = [text.partition(mark)[::2] for text in responses]
  return ('\n\n'.join(said), shared[0]), parts
