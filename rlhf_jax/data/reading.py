"""A conversation that a chat template rendered: its ids, and where they are."""

import bisect
import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rlhf_jax.data import tokens
from rlhf_jax.data.chat_jinja import ChatTemplateError
from rlhf_jax.data.encodings import Encodings
from rlhf_jax.data.marks import Marks
from rlhf_jax.data.skeletons import Filled
from rlhf_jax.data.stand_ins import owner
from rlhf_jax.data.templates import Turn
from rlhf_jax.types import Message


class Owned(NamedTuple):
  """A text whose contents stand-ins found.

  Attributes:
    pieces: marks that the template wrote, and what is between them.
    owners: as long as these together, `owner(k)` at the characters of content
      k; '' if the contents were not found.
  """

  pieces: list[str]
  owners: str
  first = 0  # As of `Filled`: no piece is left out.

  def span(self, k: int) -> tuple[int, int] | None:
    """As of `Filled`."""
    name = owner(k)
    start = self.owners.find(name)
    return None if start < 0 else (start, self.owners.rfind(name) + 1)


class Reading:
  """A rendered conversation, encoded whole; or an answer to one.

  Attributes:
    pieces: marks by their secret names (`data.marks`), and what is between.
    first: how many pieces are left out, which an answer begins with as its
      prompt does. Places are counted from there.
    coded: the ids of each piece.
    found: whether the contents were found in it.
  """

  def __init__(
    self, written: Filled | Owned, encodings: Encodings, marks: Marks
  ):
    """Of a text that is among the encodings.

    Raises:
      ChatTemplateError: the marks among its ids are others than in the text.
      VocabularyError: the tokenizer cannot encode it.
    """
    self.pieces, self.first = written.pieces, written.first
    self._marks = marks
    self.found = isinstance(written, Filled) or bool(written.owners)
    self._written, self._encodings = written, encodings
    self._texts = written.pieces  # That were encoded.
    if marks.apart:
      self.coded = list(map(encodings.__getitem__, self.pieces))
    else:
      self._texts = [self.text]
      self.coded = _split(encodings[self.text], self.pieces, marks)

  def size(self, first: int = 0) -> tuple[int, int]:
    """How many letters and tokens there are from a piece on."""
    letters = sum(map(len, self.pieces[first:]))
    return letters, sum(map(len, self.coded[first:]))

  @functools.cached_property
  def text(self) -> str:
    """The conversation, with the secret names of marks."""
    return ''.join(self.pieces)

  @functools.cached_property
  def ids(self) -> list[int]:
    """The tokens."""
    return list(itertools.chain.from_iterable(self.coded))

  def span(self, k: int) -> tuple[int, int] | None:
    """Where content k begins and ends; None if the template dropped it."""
    return self._written.span(k)

  @functools.cached_property
  def _offsets(self) -> tuple[list[int], list[int]]:
    """Where in the text each token begins, and where it ends."""
    offsets = self._encodings.offsets(self._texts)
    return [start for start, _ in offsets], [end for _, end in offsets]

  def tokens_of(self, start: int, end: int) -> tuple[int, int]:
    """The first token of a span of the text, and the first one after it.

    A token that crosses an end of the span belongs to it if only spaces do.
    """
    (starts, ends), text = self._offsets, self.text
    first = bisect.bisect_right(ends, start)
    last = bisect.bisect_left(starts, end)
    if first < last and text[starts[first] : start].strip():
      first += 1
    if first < last and text[end : ends[last - 1]].strip():
      last -= 1
    return first, max(first, last)

  def follows(self, asked: 'Reading') -> bool:
    """Whether the text begins with that of a prompt."""
    *before, last = asked.pieces[self.first :] or ['']
    count = len(before)
    return (
      len(self.pieces) > count
      and self.pieces[count].startswith(last)
      and self.pieces[:count] == before
    )

  def following(self, asked: 'Reading') -> list[int] | None:
    """The tokens that follow a prompt's; None if it begins otherwise."""
    *before, last = asked.coded[self.first :] or [[]]
    count, stop = len(before), len(last)
    first = self.coded[count] if count < len(self.coded) else []
    if first[:stop] != last or self.coded[:count] != before:
      return None
    return list(itertools.chain(first[stop:], *self.coded[count + 1 :]))

  def closed(self, end_id: int, after: int) -> int | None:
    """The first token of a mark's id past a place in the text, or None."""
    name, begin, count = self._marks.secret(end_id), 0, 0
    for piece, ids in zip(self.pieces, self.coded, strict=True):
      if begin >= after and piece == name:
        return count
      begin += len(piece)
      count += len(ids)
    return None

  def end_of(self, token: int) -> int:
    """Where in the text a token ends."""
    return self._offsets[1][token]

  def turns(self, messages: Sequence[Message]) -> tuple[list[Turn], list[int]]:
    """The user's and the assistant's turns, and the ids after the last one.

    The ids between two contents count as `before` the second. A content that
    the template split has no ids of its own, so that truncation leaves it
    whole.
    """
    turns, at, marks, ids = [], 0, self._marks.names.keys(), self.ids
    for k, message in enumerate(messages):
      if message.role == 'system':
        continue
      span = self.span(k)
      first, last = self.tokens_of(*span) if span else (at, at)
      if first < at or not marks.isdisjoint(ids[first:last]):
        first = last = at
      turns.append(Turn(ids[at:first], ids[first:last], []))
      at = last
    return turns, ids[at:]


class Pieces(Encodings):
  """Ids of pieces, encoded on their own; those of texts are no marks'."""

  def __init__(self, tokenizer: tokens.Tokenizer, texts: Iterable[str]):
    super().__init__(tokenizer, texts)
    marks, names = tokenizer.marks, tokenizer.marks.names.keys()
    for text in [t for t, ids in self.items() if not names.isdisjoint(ids)]:
      if text not in marks.ids:
        self.refuse(text, _not_told())


def _split(
  ids: Sequence[int], pieces: Sequence[str], marks: Marks
) -> list[list[int]]:
  """Ids of a text by its pieces."""
  places = [place for place, i in enumerate(ids) if i in marks.names]
  if [ids[p] for p in places] != [
    marks.ids[p] for p in pieces if p in marks.ids
  ]:
    raise _not_told()
  coded, begin, following = [], 0, iter([*places, len(ids)])
  place = next(following)
  for piece in pieces:
    if piece in marks.ids:
      stop = place + 1
      place = next(following)
    else:
      stop = place
    coded.append(ids[begin:stop])
    begin = stop
  return coded


def _not_told() -> ChatTemplateError:
  return ChatTemplateError('its tokens cannot be told from what is said')
