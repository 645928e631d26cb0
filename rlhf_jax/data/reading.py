"""A conversation that a chat template rendered: its ids, and where they are.

To find the contents of messages, the conversation is rendered a second time
with stand-ins: each character is replaced by one of Unicode's private use,
spaces are kept, so that the template does the same to them as to the contents
(trims them, drops a turn, puts one into another). Where stand-ins come out,
contents are; the template wrote the rest.
"""

import bisect
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rlhf_jax.data import chat_jinja, tokens
from rlhf_jax.data.chat_jinja import TemplateError
from rlhf_jax.data.templates import Turn
from rlhf_jax.types import Message

FIRST, LAST = 0xF0000, 0x10FFFF  # Unicode's planes for private use.

_ALL = re.compile('(?s:.+)')

Render = Callable[[Sequence[str]], str]  # The rendering of these contents.


class Reading(NamedTuple):
  """A rendered conversation, encoded whole.

  Attributes:
    text: the conversation, with the secret names of marks (`data.marks`).
    owners: of the same length, `owner(k)` at the characters of content
      k; '' if the contents were not found.
    ids: the tokens.
    starts, ends: where in the text each token begins and ends.
    marks: names of all marks, by id.
  """

  text: str
  owners: str
  ids: list[int]
  starts: list[int]
  ends: list[int]
  marks: Mapping[int, str]

  def span(self, k: int) -> tuple[int, int] | None:
    """Where content k begins and ends; None if the template dropped it."""
    name = owner(k)
    start = self.owners.find(name)
    return None if start < 0 else (start, self.owners.rfind(name) + 1)

  def tokens_of(self, start: int, end: int) -> tuple[int, int]:
    """The first token of a span of the text, and the first one after it.

    A token that crosses an end of the span belongs to it if only spaces do.
    """
    first = bisect.bisect_right(self.ends, start)
    last = bisect.bisect_left(self.starts, end)
    if first < last and self.text[self.starts[first] : start].strip():
      first += 1
    if first < last and self.text[end : self.ends[last - 1]].strip():
      last -= 1
    return first, max(first, last)

  def closed(self, end_id: int, after: int) -> int | None:
    """The first token of an id that ends after a place in the text, or None."""
    first = bisect.bisect_right(self.ends, after)
    return next(
      (i for i in range(first, len(self.ids)) if self.ids[i] == end_id), None
    )

  def turns(self, messages: Sequence[Message]) -> tuple[list[Turn], list[int]]:
    """The user's and the assistant's turns, and the ids after the last one.

    The ids between two contents count as `before` the second. A content that
    the template split has no ids of its own, so that truncation leaves it
    whole.
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
    named: (name, token) pairs that it may read, such as 'bos_token'.
    date: today for the template, YYYY-MM-DD.
    tokenizer: the folder's own.
    messages: the conversation.
    opened: whether to open the assistant's next turn.

  Raises:
    TemplateError: the template refuses, or changes contents beyond cutting.
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
  located = locate(
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
    lost = owner(k) not in owners
    if message.role == 'system' and message.content.strip() and lost:
      raise TemplateError('it leaves out what the system says')


class Located(NamedTuple):
  """A rendered conversation with stand-ins for its contents.

  Attributes:
    image: the text with stand-ins in it.
    characters: code of a stand-in -> the character that it stands for.
    owners: code of a stand-in -> `owner(k)` of the content k that it is from.
  """

  image: str
  characters: Mapping[int, str]
  owners: Mapping[int, str]


def owner(k: int) -> str:
  """A character that names content k."""
  return chr(FIRST + k)


def locate(
  text: str,
  contents: Sequence[str],
  render: Render,
  *,
  looked_for: Sequence[str],
) -> Located | None:
  """Finds contents in a rendered text.

  Args:
    text: the rendering of the contents themselves.
    contents: of the messages.
    render: renders others in their place; may raise TemplateError.
    looked_for: texts that the template may look for in contents, such as
      '</think>'. They get no stand-ins where the rendering depends on them.

  Returns:
    Where they are, or None where the template changes contents otherwise than
    by cutting them.

  Raises:
    TemplateError: there are more different characters than stand-ins.
  """
  whole = [None] * len(contents)
  found = _stand_in(text, contents, render, whole)
  if found is not None:
    return found
  kept = [
    _kept(text, contents, k, render, looked_for) for k in range(len(contents))
  ]
  return None if kept == whole else _stand_in(text, contents, render, kept)


def _kept(
  text: str,
  contents: Sequence[str],
  k: int,
  render: Render,
  looked_for: Sequence[str],
) -> re.Pattern[str] | None:
  """Matches what must stay of content k for the template to render alike."""
  needed = [literal for literal in looked_for if literal in contents[k]]
  for literal in list(needed):
    fewer = [other for other in needed if other != literal]
    alone: list[re.Pattern[str] | None] = [_ALL] * len(contents)
    alone[k] = _any_of(fewer)
    if _stand_in(text, contents, render, alone) is not None:
      needed = fewer
  return _any_of(needed)


def _any_of(literals: Sequence[str]) -> re.Pattern[str] | None:
  longest_first = sorted(literals, key=len, reverse=True)
  patterns = '|'.join(map(re.escape, longest_first))
  return re.compile(patterns) if patterns else None


def _stand_in(
  text: str,
  contents: Sequence[str],
  render: Render,
  kept: Sequence[re.Pattern[str] | None],
) -> Located | None:
  """Renders with stand-ins for all but the kept texts of each content."""
  characters: dict[int, str] = {}
  owners: dict[int, str] = {}
  images = []
  for k, (content, keep) in enumerate(zip(contents, kept, strict=True)):
    distinct = [c for c in set(content) if not c.isspace()]
    first = FIRST + len(characters)
    stop = first + len(distinct)
    if stop > LAST + 1:
      raise TemplateError('what is said has too many different characters')
    codes = {ord(c): code for code, c in enumerate(distinct, first)}
    characters.update(enumerate(distinct, first))
    owners.update(dict.fromkeys(range(first, stop), owner(k)))
    images.append(_translated(content, codes, keep))
  try:
    image = render(images)
  except TemplateError:
    return None
  if image.translate(characters) != text:
    return None
  return Located(image, characters, owners)


def _translated(
  content: str, codes: Mapping[int, int], keep: re.Pattern[str] | None
) -> str:
  if keep is None:
    return content.translate(codes)
  parts, end = [], 0
  for found in keep.finditer(content):
    parts += [content[end : found.start()].translate(codes), found[0]]
    end = found.end()
  return ''.join([*parts, content[end:].translate(codes)])
