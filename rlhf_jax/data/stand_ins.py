"""Where the contents of messages are in the text that a template rendered.

The conversation is rendered a second time with stand-ins: each character is
replaced by one of Unicode's private use, spaces are kept, so that the template
does the same to them as to the contents (trims them, drops a turn, puts one
into another). Where stand-ins come out, contents are; the template wrote the
rest.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from rlhf_jax.data.chat_jinja import ChatTemplateError
from rlhf_jax.data.marks import any_of

FIRST, LAST = 0xF0000, 0x10FFFF  # Unicode's planes for private use.

_ALL, _NOTHING = re.compile('(?s:.+)'), any_of({})

Render = Callable[[Sequence[str]], str]  # The rendering of these contents.


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
    render: renders others in their place; may raise ChatTemplateError.
    looked_for: texts that the template may look for in contents, such as
      '</think>'. They get no stand-ins where the rendering depends on them.

  Returns:
    Where they are, or None where the template changes contents otherwise than
    by cutting them.

  Raises:
    ChatTemplateError: there are more different characters than stand-ins.
  """
  whole = [_NOTHING] * len(contents)
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
) -> re.Pattern[str]:
  """Matches what must stay of content k for the template to render alike."""
  needed = [literal for literal in looked_for if literal in contents[k]]
  for literal in list(needed):
    fewer = [other for other in needed if other != literal]
    alone = [_ALL] * len(contents)
    alone[k] = any_of(dict.fromkeys(fewer, False))
    if _stand_in(text, contents, render, alone) is not None:
      needed = fewer
  return any_of(dict.fromkeys(needed, False))


def _stand_in(
  text: str,
  contents: Sequence[str],
  render: Render,
  kept: Sequence[re.Pattern[str]],
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
      raise ChatTemplateError('what is said has too many different characters')
    codes = {ord(c): code for code, c in enumerate(distinct, first)}
    characters.update(enumerate(distinct, first))
    owners.update(dict.fromkeys(range(first, stop), owner(k)))
    images.append(_translated(content, codes, keep))
  try:
    image = render(images)
  except ChatTemplateError:
    return None
  if image.translate(characters) != text:
    return None
  return Located(image, characters, owners)


def _translated(
  content: str, codes: Mapping[int, int], keep: re.Pattern[str]
) -> str:
  parts, end = [], 0
  for found in keep.finditer(content):
    parts += [content[end : found.start()].translate(codes), found[0]]
    end = found.end()
  return ''.join([*parts, content[end:].translate(codes)])
