"""What a chat template writes around contents, learnt once for many.

A skeleton says where the contents of messages come out and what the template
cuts off their ends. It is a guess, since a template may look into contents: it
holds for a conversation where, filled with its contents, it is what the
template renders.
"""

import dataclasses
import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlhf_jax.data import chat_jinja
from rlhf_jax.data.chat_jinja import ChatTemplateError
from rlhf_jax.data.stand_ins import FIRST
from rlhf_jax.data.tokenizer import Tokenizer
from rlhf_jax.types import Message

# What templates strip from an end of contents, as `str.strip` is told: nothing,
# line breaks, all spaces; and what is left of one and of the other end so.
STRIPPED = ('', '\n', None)
BEGINS = tuple('\n '.lstrip(letters) for letters in STRIPPED)
ENDS = tuple(' \n'.rstrip(letters) for letters in STRIPPED)


# A text of the template, and the number of the content that follows it.
Slot = tuple[str, int]


class SlottedText(NamedTuple):
  """A mark, or what is between two, with slots for contents.

  Attributes:
    slots: one after the other.
    end: what follows the last content; a mark by its secret name.
  """

  slots: tuple[Slot, ...]
  end: str

  def fill(self, contents: Sequence[str]) -> str:
    """With contents in the slots."""
    text = ''
    for before, k in self.slots:
      text += before + contents[k]
    return text + self.end


class Filled(NamedTuple):
  """A skeleton with contents in it.

  Attributes:
    pieces: marks that the template wrote, and what is between them.
    skeleton: what is filled.
    contents: what is in its slots.
    first: how many pieces are left out, which an answer begins with as its
      prompt does.
  """

  pieces: list[str]
  skeleton: 'Skeleton'
  contents: Sequence[str]
  first: int = 0

  def span(self, k: int) -> tuple[int, int] | None:
    """Where content k begins and ends, without the spaces around it.

    None where nothing of it is there. Of an answer, its own content alone.
    """
    content, places = self.contents[k], self.skeleton.places.get(k)
    if places is None or not content.strip():
      return None
    first = last = self._start(*places[0])
    if len(places) > 1:
      last = self._start(*places[-1])
    spaces = len(content) - len(content.lstrip())
    return first + spaces, last + len(content.rstrip())

  def _start(self, piece: int, slot: int) -> int:
    """Where in the text a slot of a piece begins."""
    start = sum(map(len, self.pieces[: piece - self.first]))
    slots = self.skeleton.pieces[piece].slots
    for before, k in slots[:slot]:
      start += len(before) + len(self.contents[k])
    return start + len(slots[slot][0])


@dataclasses.dataclass(frozen=True, eq=False)
class Skeleton:
  """What a template writes around contents.

  Attributes:
    written: all that it writes, as one piece without secret names.
    pieces: the same, cut at the marks.
    stripped: of each content, what it loses at its beginning and at its end.
    places: of each content that comes out, (piece, slot of it).
  """

  written: SlottedText
  pieces: Sequence[SlottedText]
  stripped: Sequence[tuple[str | None, str | None]]
  places: Mapping[int, Sequence[tuple[int, int]]]

  def fill(self, said: Sequence[str], text: str | None = None) -> Filled | None:
    """With contents; None if the text is given and is another.

    None too where nothing of a content is left, since what is on both of its
    sides may then read as one.
    """
    contents = [
      content.lstrip(begin).rstrip(end)
      for content, (begin, end) in zip(said, self.stripped, strict=True)
    ]
    if not all(contents[k] for k in self.places):
      return None
    if text is not None and self.written.fill(contents) != text:
      return None
    return Filled(self._filled(contents), self, contents)

  def answer(self, asked: Filled, said: str) -> Filled | None:
    """As `fill`, with what a prompt is filled with and one content more.

    Of the pieces, those from the first that is not the prompt's.
    """
    shared = _shared(asked.skeleton, self)
    begin, end = self.stripped[-1]
    left = said.lstrip(begin).rstrip(end)
    if shared is None or not left:
      return None
    contents = [*asked.contents, left]
    return Filled(self._filled(contents, shared), self, contents, shared)

  def _filled(self, contents: Sequence[str], first: int = 0) -> list[str]:
    return [
      piece.fill(contents) if piece.slots else piece.end
      for piece in self.pieces[first:]
    ]


@functools.lru_cache(maxsize=512)
def _shared(one: Skeleton, longer: Skeleton) -> int | None:
  """How many pieces two begin with, of which one has a content more.

  None where what they have in common is stripped of other spaces.
  """
  if longer.stripped[:-1] != one.stripped:
    return None
  alike = map(SlottedText.__eq__, one.pieces, longer.pieces)
  return sum(itertools.takewhile(bool, alike))


@functools.lru_cache(maxsize=512)
def learn(
  source: chat_jinja.JinjaTemplate,
  tokenizer: Tokenizer,
  roles: tuple[str, ...],
  opened: bool,
) -> Skeleton | None:
  """The skeleton of conversations with these roles.

  None where the template refuses them, leaves out what the system says, or
  changes contents otherwise than at their ends.

  Args:
    tokenizer: whose marks the template writes.
    opened: whether to open the assistant's next turn.
  """
  if not roles:
    return None
  names = [chr(FIRST + k) for k in range(len(roles))]
  cut = re.compile(f'([{"".join(names)}])').split
  try:
    bare, padded = (
      source.render(
        [
          Message(role, before + name + after)
          for role, name in zip(roles, names, strict=True)
        ],
        opened=opened,
      )
      for before, after in (('', ''), (BEGINS[0], ENDS[0]))
    )
  except ChatTemplateError:
    return None
  written, around = cut(bare), cut(padded)
  order = [ord(name) - FIRST for name in written[1::2]]
  stripped = _stripped(order, written[::2], around[::2])
  lost = any(r == 'system' and k not in order for k, r in enumerate(roles))
  if lost or written[1::2] != around[1::2] or stripped is None:
    return None
  marks = tokenizer.marks
  pieces = [_piece(cut(text)) for text in marks.cut(marks.spell(bare))]
  places: dict[int, list[tuple[int, int]]] = {}
  for place, piece in enumerate(pieces):
    for slot, (_, k) in enumerate(piece.slots):
      places.setdefault(k, []).append((place, slot))
  return Skeleton(
    _piece(written),
    pieces,
    [stripped.get(k, ('', '')) for k in range(len(roles))],
    places,
  )


def _piece(cut: Sequence[str]) -> SlottedText:
  """The piece of texts with names of contents between them."""
  numbers = [ord(name) - FIRST for name in cut[1::2]]
  return SlottedText(tuple(zip(cut[:-1:2], numbers, strict=True)), cut[-1])


def _stripped(
  order: Sequence[int], written: Sequence[str], around: Sequence[str]
) -> dict[int, tuple[str | None, str | None]] | None:
  """What each content loses at its ends; None where it is something else.

  Args:
    order: numbers of the contents that come out.
    written: what is before the first of them, between two, after the last.
    around: likewise, of contents within BEGINS[0] and ENDS[0].
  """
  begins, ends = {}, {}
  if len(written) != len(around):
    return None
  for place, (bare, padded) in enumerate(zip(written, around, strict=True)):
    for end, begin in itertools.product(range(3), repeat=2):
      after = ENDS[end] if place else ''
      before = BEGINS[begin] if place < len(order) else ''
      if after + bare + before == padded:
        break
    else:
      return None
    if place:
      ends.setdefault(order[place - 1], STRIPPED[end])
    if place < len(order):
      begins.setdefault(order[place], STRIPPED[begin])
  return {k: (begins[k], ends[k]) for k in begins}
