"""Who is asked about which pair next, and what becomes of what they say."""

import datetime
import hashlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from launch.annotating.pairs import Pair
from rlhf_jax.storage.journal import Journal

SAID = ('left', 'right', 'equal', 'unsure', 'skip')
# A pair that is before somebody is kept for them so long, in seconds.
KEPT_FOR = 600.0
LONGEST_NAME = 60
SLOWEST = 1e6  # Seconds that are written down at most.


class RequestError(ValueError):
  """What an annotator's page asked for cannot be: a sentence."""


class Shown(NamedTuple):
  """A pair as it is before an annotator.

  Attributes:
    pair: what is asked about.
    left: 1 or 2, which of its responses is to the left.
    said: what they said of it before, one of SAID, or None.
    first: whether they said nothing before it, so that there is no going back.
  """

  pair: Pair
  left: int
  said: str | None
  first: bool


class Desk:
  """Assigns pairs to annotators, and records their choices in a journal.

  Everybody gets the pairs in the same order, drawn once, so that pairs are
  judged by as many as were asked before the next ones are. Which response is to
  the left is drawn for every annotator and pair.
  """

  def __init__(
    self,
    pairs: Sequence[Pair],
    journal: Journal,
    *,
    each: int = 1,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Goes on from what a journal holds.

    Args:
      pairs: that people are asked about. Where both responses are the same
        text, nobody is: it is written down that they are equal.
      journal: of rows of `formats.CHOICES`.
      each: how many people are to judge every pair; who skips it does not
        count.
      seed: of the order of pairs and of the sides.
      clock: in seconds.
    """
    self.each, self._seed, self._clock = each, seed, clock
    self._journal = journal
    self.pairs = {pair.name: pair for pair in pairs if not pair.same}
    self._order = sorted(self.pairs, key=self._drawn)
    self._before: dict[str, tuple[str, float]] = {}  # Of each annotator.
    # {annotator: {pair: place of the row}}, in the order of their choices.
    self._said: dict[str, dict[str, int]] = {}
    for place, row in enumerate(journal.rows):
      self._note(row, place)
    known = {row['pair'] for row in journal.rows}
    for pair in pairs:
      if pair.same and pair.name not in known:
        self._append(pair.row() | {'choice': 'equal', 'annotator': ''})

  def next(self, annotator: str) -> Shown | None:
    """The next pair for somebody; None where none is left, or all are kept."""
    said, now = self._said.get(annotator, {}), self._clock()
    mine, _ = self._before.get(annotator, (None, 0.0))
    kept = [
      pair
      for name, (pair, since) in self._before.items()
      if name != annotator and now - since < KEPT_FOR
    ]
    free = [
      name
      for name in self._order
      if name not in said and (self.judged(name) + kept.count(name) < self.each)
    ]
    if not free:
      self._before.pop(annotator, None)
      return None
    name = mine if mine in free else free[0]
    self._before[annotator] = (name, now)
    return self._shown(annotator, name)

  def back(self, annotator: str, pair: str) -> Shown:
    """The pair that somebody judged before the one that they see.

    Args:
      annotator: who.
      pair: the name of what they see; '' at the end, where they see none.

    Raises:
      RequestError: they judged none before it, or there is no such pair.
    """
    if pair:
      self._check(pair)
    said = list(self._said.get(annotator, {}))
    place = said.index(pair) if pair in said else len(said)
    if not place:
      raise RequestError('there is nothing before this pair')
    return self._shown(annotator, said[place - 1])

  def choose(
    self, annotator: str, pair: str, said: str, left: int, seconds: float
  ) -> None:
    """Writes down what somebody said, in place of what they said before.

    Args:
      annotator: who.
      pair: its name.
      said: one of SAID.
      left: 1 or 2, the response that they saw to the left.
      seconds: that it was before them.

    Raises:
      RequestError: there is no such pair, or nothing like that can be said.
      StorageError: it could not be kept.
    """
    self._check(pair)
    if said not in SAID or type(left) is not int or left not in (1, 2):
      raise RequestError('that cannot be said of a pair; load the page again')
    if not _is_time(seconds):
      raise RequestError(
        'seconds have to be a number, 0 or more; load the page again'
      )
    sides = {'left': left, 'right': 3 - left}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')
    row = self.pairs[pair].row() | {
      'choice': sides.get(said, said),
      'annotator': annotator,
      'left': left,
      'seconds': round(min(float(seconds), SLOWEST), 1),
      'time': now,
    }
    place = self._said.get(annotator, {}).get(pair)
    if place is None:
      self._append(row)
    else:
      self._journal.replace(place, row)
    if self._before.get(annotator, ('',))[0] == pair:
      del self._before[annotator]

  def judged(self, pair: str) -> int:
    """How many people judged a pair; who skipped it is not counted."""
    return sum(
      self._journal.rows[said[pair]]['choice'] != 'skip'
      for said in self._said.values()
      if pair in said
    )

  def progress(self, annotator: str) -> tuple[int, int]:
    """How many pairs somebody is through with, and how many are left."""
    said = self._said.get(annotator, {})
    left = sum(
      pair not in said and self.judged(pair) < self.each for pair in self.pairs
    )
    return len(said), left

  @property
  def complete(self) -> bool:
    """Whether every pair was judged by as many as asked."""
    return all(self.judged(pair) >= self.each for pair in self.pairs)

  def _check(self, pair):
    if pair not in self.pairs:
      raise RequestError('there is no such pair here; load the page again')

  def _shown(self, annotator, name):
    said = self._said.get(annotator, {})
    before = list(said)
    first = (before.index(name) if name in said else len(before)) == 0
    if name not in said:
      drawn = hashlib.sha256(f'{self._seed}/{annotator}/{name}'.encode())
      left = 1 + drawn.digest()[0] % 2
      return Shown(self.pairs[name], left, None, first)
    row = self._journal.rows[said[name]]
    left, choice = row.get('left', 1), row['choice']
    if choice in (1, 2):
      choice = 'left' if choice == left else 'right'
    return Shown(self.pairs[name], left, choice, first)

  def _append(self, row):
    self._journal.append(row)
    self._note(row, len(self._journal.rows) - 1)

  def _note(self, row: dict[str, Any], place: int) -> None:
    if row['pair'] in self.pairs:  # Of other pairs, what was said stays.
      said = self._said.setdefault(row['annotator'], {})
      said[row['pair']] = place

  def _drawn(self, name: str) -> bytes:
    return hashlib.sha256(f'{self._seed}/{name}'.encode()).digest()


def _is_time(value: Any) -> bool:
  """Whether a value is a number of seconds that JSON may hold."""
  if type(value) not in (int, float):
    return False
  try:
    return math.isfinite(value) and value >= 0
  except OverflowError:  # A whole number beyond all floats.
    return False


def name_of(value: Any) -> str:
  """An annotator's name, without spaces around it.

  Raises:
    RequestError: it is none.
  """
  name = ' '.join(value.split()) if isinstance(value, str) else ''
  if not name or len(name) > LONGEST_NAME or not name.isprintable():
    raise RequestError(
      f'a name has letters, and at most {LONGEST_NAME} of them; give yours'
    )
  return name
