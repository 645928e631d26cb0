"""A conversation that a chat template rendered, as ids with their places."""

import bisect
import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlhf_jax.data import chat_jinja, contents, tokens
from rlhf_jax.data.chat_jinja import TemplateError
from rlhf_jax.data.parts import Turn
from rlhf_jax.types import Message


class Reading(NamedTuple):
  """A rendered conversation, encoded whole.

  Attributes:
    text: the conversation, its marks spelt in secret.
    owners: as long; at the characters of content k stands `contents.owner(k)`.
    ids: the tokens.
    starts, ends: where in the text each token begins and ends.
    marks: ids of all marks.
  """

  text: str
  owners: str
  ids: list[int]
  starts: list[int]
  ends: list[int]
  marks: Mapping[int, str]

  def span(self, k: int) -> tuple[int, int] | None:
    """Where content k begins and ends; None where nothing is left of it."""
    name = contents.owner(k)
    start = self.owners.find(name)
    return None if start < 0 else (start, self.owners.rfind(name) + 1)

  def tokens_of(self, start: int, end: int) -> tuple[int, int]:
    """The first token of a span of the text, and the first one after it.

    A token that reaches out of it belongs to it if it does over spaces alone.
    """
    first = bisect.bisect_right(self.ends, start)
    last = bisect.bisect_left(self.starts, end)
    if first < last and self.text[self.starts[first] : start].strip():
      first += 1
    if first < last and self.text[end : self.ends[last - 1]].strip():
      last -= 1
    return first, max(first, last)

  def closed(self, end_id: int, after: int) -> int | None:
    """The first token of some id that ends beyond a place in the text."""
    first = bisect.bisect_right(self.ends, after)
    return next(
      (i for i in range(first, len(self.ids)) if self.ids[i] == end_id), None
    )

  def turns(self, messages: Sequence[Message]) -> tuple[list[Turn], list[int]]:
    """The ids of the user's and the assistant's turns, and what follows them.

    What stands between two contents comes before the second; a content that is
    not in one piece has no ids of its own, so that nothing cuts it.
    """
    turns, at = [], 0
    for k, message in enumerate(messages):
      if message.role == 'system':
        continue
      span = self.span(k)
      first, last = self.tokens_of(*span) if span else (at, at)
      if first < at or not self.marks.keys().isdisjoint(self.ids[first:last]):
        first = last = at
      turns.append(Turn(self.ids[at:first], self.ids[first:last], []))
      at = last
    return turns, self.ids[at:]


# A prompt is read once for its own ids, and again for each of its responses.
@functools.lru_cache(maxsize=8)
def read(
  source: str,
  named: tuple[tuple[str, str], ...],
  date: str,
  tokenizer: tokens.Tokenizer,
  messages: tuple[Message, ...],
  opened: bool,
) -> Reading:
  """Renders a conversation and encodes it.

  Args:
    source: the chat template.
    named: tokens that it may ask for, and what it calls them.
    date: what day it is, YYYY-MM-DD.
    tokenizer: the folder's own.
    messages: the conversation.
    opened: whether to go on to where the assistant's next turn begins.

  Raises:
    TemplateError: the template refuses, or does what cannot be followed.
  """

  def rendered(said: Sequence[str]) -> str:
    turns = [
      Message(turn.role, content)
      for turn, content in zip(messages, said, strict=True)
    ]
    return chat_jinja.render(
      source, turns, opened=opened, tokens=dict(named), date=date
    )

  said = [str(message.content) for message in messages]
  text = rendered(said)
  literals = chat_jinja.looked_for(source)
  located = contents.locate(
    text,
    said,
    rendered,
    looked_for=[t for t in literals if t not in tokenizer.special_ids],
  )
  if located is None:
    _check_unmarked(tokenizer, said)
    spelt, owners = tokenizer.marks.spell(text), ''
  else:
    image = tokenizer.marks.spell(located.image)
    spelt = image.translate(located.characters)
    owners = image.translate(located.owners)
    _check_system(messages, owners)
  encoding = tokenizer.encoding(spelt)
  ids, marks = encoding.ids, tokenizer.marks.names
  if [marks[i] for i in ids if i in marks] != tokenizer.marks.found(spelt):
    raise TemplateError('its tokens cannot be told from what is said')
  offsets = encoding.offsets
  starts, ends = ([offset[side] for offset in offsets] for side in (0, 1))
  return Reading(spelt, owners, ids, starts, ends, marks)


def _check_unmarked(tokenizer: tokens.Tokenizer, said: Sequence[str]) -> None:
  typed = [name for content in said for name in tokenizer.marks.typed(content)]
  if typed:
    raise TemplateError(
      f'it changes what is said, which spells its token {typed[0]!r}'
    )


def _check_system(messages: Sequence[Message], owners: str) -> None:
  for k, message in enumerate(messages):
    lost = contents.owner(k) not in owners
    if message.role == 'system' and message.content.strip() and lost:
      raise TemplateError('it leaves out what the system says')
