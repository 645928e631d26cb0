"""A dataset as ids, encoded once and kept in a folder.

The ids lie one after the other in a file that is read where it is needed, so
that what holds the dataset holds no more than a few numbers for each example.
"""

import collections
import contextlib
import gc
import itertools
import math
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from rlhf_jax.data import encoding
from rlhf_jax.data.encoding import Counts
from rlhf_jax.data.examples import Example, StoredRecord
from rlhf_jax.data.limits import Limits
from rlhf_jax.data.numbers_on_disk import Column, Numbers
from rlhf_jax.data.sequences import OnDemand
from rlhf_jax.data.templates import ChatFormat
from rlhf_jax.data.tokenizer import Tokenizer
from rlhf_jax.storage import files, seals
from rlhf_jax.types import (
  Comparison,
  Demonstration,
  Prompt,
  Rated,
  Record,
  Sampled,
)

KINDS = (Prompt, Demonstration, Comparison, Rated, Sampled)
# Why nothing can be learnt from an example, by its `reason`.
REASONS = (None, 'identical_responses', 'tied_scores', 'empty_responses')
# What is kept of an example beside its ids: its record's numbers, and where its
# ids and its scores or ratings begin in the files of these.
EXAMPLE = np.dtype(
  [
    ('index', '<i8'),
    ('text', '<i8'),  # Its prompt's place among texts; the responses follow.
    ('number', '<i8'),
    ('weight', '<f8'),
    ('margin', '<f8'),
    ('responses', '<i4'),
    ('numbers', '<i4'),  # How many; −1 where there are none.
    ('length', '<i4'),  # As of Example.
    ('kind', 'u1'),
    ('reason', 'u1'),
    ('target', '?'),
  ]
)
Row = collections.namedtuple('Row', EXAMPLE.names)
FACTS = 'facts.json'


class Encoded(OnDemand[Example]):
  """Examples that are kept in a folder, each read when it is asked for.

  Attributes:
    counts: what was cut or left out of the dataset.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    records: Sequence[Record],
    places: np.ndarray | None = None,
    left_out: Mapping[str, int] | None = None,
  ):
    """Of a folder that `keep` wrote, of these records.

    Args:
      places: [N] of the examples, among those of the folder; all by default, as
        of `encoding.encode_all`.
      left_out: counts of the others.

    Raises:
      DamagedError: the folder is not what was written.
      DataError: nothing is left.
    """
    facts = seals.read_json(folder / FACTS, delete=folder)
    self.counts = Counts(**facts['counts'] | (left_out or {}))
    self._records, self._places = records, places
    self._rows = Numbers(folder / 'examples', EXAMPLE)
    self._ids = Numbers(folder / 'ids', np.dtype(facts['ids']))
    self._ends = Numbers(folder / 'ends', np.dtype('<i8'))
    self._numbers = Numbers(folder / 'numbers', np.dtype('<f8'))
    encoding.check_left(self, records, self.counts)

  def __len__(self) -> int:
    return len(self._rows if self._places is None else self._places)

  def at(self, place: int) -> Example:
    if self._places is not None:
      place = int(self._places[place])
    (row,) = self._rows.read(place, place + 1).tolist()
    return self._example(Row(*row))

  def _example(self, row: 'Row') -> Example:
    count = 1 + row.responses + row.target
    begin, *ends = self._ends.read(row.text, row.text + 1 + count).tolist()
    ids = self._ids.read(begin, ends[-1]).tolist()
    texts = [
      ids[a - begin : b - begin] for a, b in itertools.pairwise([begin, *ends])
    ]
    return Example(
      self._stored(row),
      texts[0],
      tuple(texts[1 : 1 + row.responses]),
      row.index,
      texts[-1] if row.target else None,
    )

  def _stored(self, row: 'Row') -> StoredRecord:
    kind, found = KINDS[row.kind], None
    if row.numbers >= 0:
      stop = row.number + row.numbers
      found = tuple(self._numbers.read(row.number, stop).tolist())
    held = StoredRecord(self._records, row.index, kind, row.weight, row.margin)
    if kind is Rated:
      ratings = (None if math.isnan(x) else x for x in found)
      return held._replace(ratings=tuple(ratings))
    return held._replace(scores=found)

  @property
  def records(self) -> Iterator[Record]:
    """`record` of each example."""
    return (self._records[index] for index in self.column('index').tolist())

  def column(self, name: str) -> np.ndarray:
    """[N] one of EXAMPLE of each."""
    column = self._rows.column(name)
    return column if self._places is None else column[self._places]


def learnable(folder: pathlib.Path, records: Sequence[Record]) -> Encoded:
  """The examples that something can be learnt from, as of `encoding.encode`."""
  reasons = Numbers(folder / 'examples', EXAMPLE).column('reason')
  numbers = np.bincount(reasons, minlength=len(REASONS)).tolist()
  if not any(numbers[1:]):
    return Encoded(folder, records)
  left_out = dict(zip(REASONS[1:], numbers[1:], strict=True))
  return Encoded(folder, records, np.flatnonzero(reasons == 0), left_out)


def keep(
  folder: pathlib.Path,
  records: Iterable[Record],
  tokenizer: Tokenizer,
  template: ChatFormat,
  limits: Limits,
) -> None:
  """Encodes records into a folder, unless they are there.

  Several may do so at once; one of them is taken. Other arguments and errors as
  those of `encoding.stream`.

  Raises:
    DamagedError: the folder is there, and not as it was written.
  """
  if not folder.is_dir():
    with seals.new_folder(folder) as unfinished:
      _write(unfinished, records, tokenizer, template, limits)
  seals.verify(folder, delete=folder)


def _write(folder, records, tokenizer, template, limits) -> None:
  """Writes the files of a folder as the records come."""
  tally = collections.Counter()
  ids = np.dtype('<u2' if tokenizer.vocab_size <= 1 << 16 else '<u4')
  with _uncollected(), _Writer(folder, ids) as writer:
    for example in encoding.stream(records, tokenizer, template, limits, tally):
      writer.add(example)
  files.write_json(folder / FACTS, {'ids': ids.str, 'counts': tally})


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
  """While the block runs, nothing looks for cycles of garbage.

  Encoding makes a million objects and no cycle; to look through them and all
  else that is held, time and again, takes a sixth of its time.
  """
  enabled = gc.isenabled()
  gc.disable()
  try:
    yield
  finally:
    if enabled:
      gc.enable()


class _Writer(contextlib.ExitStack):
  """The files of a folder, to which examples are added."""

  def __init__(self, folder: pathlib.Path, ids: np.dtype):
    super().__init__()

    def column(name, dtype):
      return self.enter_context(Column(folder / name, dtype))

    self._rows = column('examples', EXAMPLE)
    self._ids = column('ids', ids)
    self._ends = column('ends', np.dtype('<i8'))
    self._numbers = column('numbers', np.dtype('<f8'))
    self._ends.add([0])

  def add(self, example: Example) -> None:
    """Writes an example behind the others."""
    record, numbers = example.record, None
    if isinstance(record, Comparison):
      numbers = record.scores
    elif isinstance(record, Rated):
      numbers = [math.nan if x is None else x for x in record.ratings]
    row = Row(
      index=example.index,
      text=self._ends.size - 1,
      number=self._numbers.size,
      weight=getattr(record, 'weight', 1.0),
      margin=getattr(record, 'margin', 0.0),
      responses=len(example.response_ids),
      numbers=-1 if numbers is None else len(numbers),
      length=example.length,
      kind=KINDS.index(example.kind),
      reason=REASONS.index(encoding.unlearnable(example)),
      target=example.target_ids is not None,
    )
    texts = [example.prompt_ids, *example.response_ids]
    if example.target_ids is not None:
      texts.append(example.target_ids)
    _, *ends = itertools.accumulate(map(len, texts), initial=self._ids.size)
    self._ids.add(itertools.chain.from_iterable(texts))
    self._ends.add(ends)
    if numbers:
      self._numbers.add(numbers)
    self._rows.add([row])
