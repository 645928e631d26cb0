"""Batches by step: the same for a seed, on any number of processes."""

import collections
import dataclasses
import functools
from collections.abc import Iterator, Sequence

import grain
import numpy as np

from rlhf_jax.data.collation import collate
from rlhf_jax.data.curriculum import Curriculum, members, plan
from rlhf_jax.data.examples import Example, candidates, weights
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.limits import Limits
from rlhf_jax.data.packing import Pack
from rlhf_jax.types import (
  Comparisons,
  Demonstrations,
  Prompts,
  Ratings,
  Samples,
)

Batch = Prompts | Demonstrations | Comparisons | Ratings | Samples
FOREVER = 2**62
AHEAD = 4  # Batches that are made before they are asked for.


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
  """An endless run of batches; batches[step] is the one of that step.

  Every epoch goes through the examples once, in an order that depends only on
  the seed and on the number of examples. A batch may span several epochs, so a
  dataset may be smaller than a batch. Each process gets its own rows of the
  same global batch.

  Attributes:
    examples: of one kind.
    batch_size: rows of the global batch, of all processes together.
    seed: of the order, at least 0.
    pad_id: fills rows.
    limits: those that the examples were encoded under.
    process_index: which process this is, from 0.
    process_count: how many there are.
    curriculum: the levels of the examples and how they are mixed, or None.
    steps: of the whole training, over which a curriculum is spread.
    records: size of the dataset, dropped records included. Each repeat of an
      example within a batch adds it to the index once more, so that a prompt is
      sampled with other keys. None adds nothing.
  """

  examples: Sequence[Example] | Sequence[Pack]
  _: dataclasses.KW_ONLY
  batch_size: int
  seed: int
  pad_id: int
  limits: Limits
  process_index: int = 0
  process_count: int = 1
  curriculum: Curriculum | None = None
  steps: int | None = None
  records: int | None = None

  def __post_init__(self):
    if not self.examples:
      raise DataError(
        'there are no examples to make batches of; the dataset is empty, or '
        'its prompts were all dropped for their length.'
      )
    if self.batch_size < 1 or self.batch_size % self.process_count:
      raise DataError(
        f'a batch of {self.batch_size} rows cannot be shared equally by '
        f'{self.process_count} processes; make batch_size a multiple.'
      )
    if self.curriculum is not None:
      # Made now, so that a fault does not stop a run in its middle.
      _ = self._given

  def indices(self, step: int) -> np.ndarray:
    """[batch_size] places among the examples, one a row of the global batch."""
    if step < 0:
      raise IndexError(f'step {step} is before the first, 0.')
    if self.curriculum is None:
      first = step * self.batch_size
      count = len(self.examples)
      return places(count, self.seed, first, first + self.batch_size)
    if step >= self.steps:
      raise IndexError(f'step {step} is past the last, {self.steps - 1}.')
    rows = []
    for level, own in enumerate(self._members):
      first, stop = self._given[step : step + 2, level].tolist()
      if first < stop:
        seed = level_seed(self.seed, level)
        rows.append(own[places(len(own), seed, first, stop)])
    return np.concatenate(rows)

  @functools.cached_property
  def _candidates(self) -> int | None:
    """K of the longest list, so that every batch has the same shape."""
    if isinstance(self.examples[0], Pack):
      return None
    return int(candidates(self.examples).max())

  @functools.cached_property
  def _weighted(self) -> bool:
    """Whether demonstrations differ in weight; the same for every batch."""
    if isinstance(self.examples[0], Pack):
      return False
    return bool(np.any(weights(self.examples) != 1.0))

  @functools.cached_property
  def _members(self) -> list[np.ndarray]:
    """The places of every level's examples."""
    return members(self.examples, self.curriculum.level)

  @functools.cached_property
  def _given(self) -> np.ndarray:
    """[steps + 1, levels] rows of each level before each step."""
    if self.steps is None or self.steps < 1:
      raise DataError(
        f'a curriculum is spread over the steps of a training, and steps is '
        f'{self.steps}; give their number.'
      )
    sizes = [len(own) for own in self._members]
    rows = plan(
      self.curriculum.mix,
      levels=len(sizes),
      steps=self.steps,
      batch_size=self.batch_size,
    )
    for level, planned in enumerate(rows.sum(0)):
      if planned and not sizes[level]:
        raise DataError(
          f'the curriculum asks for {planned} rows of level {level} and no '
          f'example is of it; examples of levels 0 to {len(sizes) - 1}: '
          f'{", ".join(map(str, sizes))}.'
        )
    return np.cumsum(np.pad(rows, ((1, 0), (0, 0))), axis=0)

  def __getitem__(self, step: int) -> Batch:
    """This process's rows of the global batch of a step."""
    rows = self._rows(self.indices(step))
    share = self.batch_size // self.process_count
    first = self.process_index * share
    return collate(
      rows[first : first + share],
      pad_id=self.pad_id,
      limits=self.limits,
      # All processes pad alike, or they would run different programs.
      longest=max(row.length for row in rows),
      candidates=self._candidates,
      weighted=self._weighted,
    )

  def _rows(self, indices: np.ndarray) -> list[Example] | list[Pack]:
    """The examples at these places, repeats with an index of their own."""
    rows = [self.examples[i] for i in indices]
    if self.records is None:
      return rows
    seen: collections.Counter = collections.Counter()
    for row, place in enumerate(indices.tolist()):
      again = seen[place]
      seen[place] += 1
      if again:
        index = rows[row].index + again * self.records
        rows[row] = rows[row]._replace(index=index)
    return rows

  def starting_at(self, step: int) -> Iterator[Batch]:
    """Yields the batches of `step`, `step + 1`, …, some made ahead of time.

    A run resumed at a step takes its batches from there, exactly as before.
    """
    stop = FOREVER if self.curriculum is None else self.steps
    steps = grain.MapDataset.range(step, stop).map(self.__getitem__)
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=AHEAD)
    yield from steps.to_iter_dataset(options)


def level_seed(seed: int, level: int) -> int:
  """The seed of a level's own orders, the same on every machine."""
  bits = np.random.SeedSequence([seed, level])
  return int(bits.generate_state(1, np.uint64)[0])


def places(count: int, seed: int, first: int, stop: int) -> np.ndarray:
  """[stop − first] places in an endless run through `count` examples.

  The run is one epoch's order after the other; `first` may lie in any of them.
  """
  epochs, within = np.divmod(np.arange(first, stop), count)
  return np.concatenate(
    [
      order(count, seed, int(epoch))[within[epochs == epoch]]
      for epoch in np.unique(epochs)
    ]
  )


@functools.lru_cache(maxsize=16)
def order(count: int, seed: int, epoch: int) -> np.ndarray:
  """[count] the order of an epoch, the same on every machine.

  Sorts random bits, whose stream numpy promises to keep. Grain's own shuffle
  finds one place at a time: in 10 µs among thousands of examples, but in 1 ms
  among fifty and 5 ms among five.
  """
  bits = np.random.Philox(key=np.array([seed, epoch], np.uint64))
  return np.argsort(bits.random_raw(count), kind='stable')
