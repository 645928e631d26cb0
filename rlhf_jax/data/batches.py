"""Batches by step: the same for a seed, on any number of processes."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import grain
import numpy as np

from rlhf_jax.data import examples as columns
from rlhf_jax.data import orders
from rlhf_jax.data.collation import collate
from rlhf_jax.data.curriculum import Levels, plan
from rlhf_jax.data.examples import Example
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.limits import Limits
from rlhf_jax.data.packing import Pack, Packs
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

  Every epoch goes through the examples once, in an order that depends on the
  seed, the number of examples and, if it is `orders.of_like_length`, their
  lengths, and on nothing else. A batch may span several epochs, so a dataset
  may be smaller than a batch.

  Attributes:
    examples: of one kind.
    batch_size: rows of the global batch, of all processes together.
    seed: of the order, at least 0.
    pad_id: fills rows.
    limits: those that the examples were encoded under.
    order: of every epoch.
    rows: of the global batch, those that are made here, in rising order; all
      where None. They are padded as the whole batch is.
    curriculum: the levels of the examples and how they are mixed, a Curriculum
      or a mixture; None has no levels.
    steps: of the whole training, over which a curriculum is spread.
    records: size of the dataset, dropped records included. Each repeat of an
      example within a batch adds it to the index once more, so that a prompt is
      sampled with other keys. None adds nothing.
  """

  examples: Sequence[Example] | Packs
  _: dataclasses.KW_ONLY
  batch_size: int
  seed: int
  pad_id: int
  limits: Limits
  order: orders.Order = orders.at_random
  rows: np.ndarray | None = None
  curriculum: Levels | None = None
  steps: int | None = None
  records: int | None = None

  def __post_init__(self):
    if not self.examples:
      raise DataError(
        'there are no examples to make batches of; the dataset is empty, or '
        'its prompts were all dropped for their length.'
      )
    if self.batch_size < 1:
      raise DataError(
        f'batch_size is {self.batch_size}; a batch has a row or more.'
      )
    if self.curriculum is not None and self.order is not orders.at_random:
      raise DataError(
        'a curriculum says which examples make a batch, and so does the order '
        'of a stage; leave out one of them.'
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
      return self._places(None, first, first + self.batch_size)
    if step >= self.steps:
      raise IndexError(f'step {step} is past the last, {self.steps - 1}.')
    rows = []
    for level, own in enumerate(self._members):
      first, stop = self._given[step : step + 2, level].tolist()
      if first < stop:
        rows.append(own[self._places(level, first, stop)])
    return np.concatenate(rows)

  def _places(self, level: int | None, first: int, stop: int) -> np.ndarray:
    """Places `first` to `stop` of an endless run through a level's examples.

    The run is one epoch after the other, each in its own order; through all
    examples where the level is None.
    """
    count = len(self.lengths if level is None else self._members[level])
    epochs, within = np.divmod(np.arange(first, stop), count)
    return np.concatenate(
      [
        self._ordered(level, number)[within[epochs == number]]
        for number in np.unique(epochs).tolist()
      ]
    )

  @functools.cached_property
  def _ordered(self) -> Callable[[int | None, int], np.ndarray]:
    """(level, number of an epoch) -> [N] its order, the last ones kept."""

    def ordered(level: int | None, number: int) -> np.ndarray:
      lengths, seed = self.lengths, self.seed
      if level is not None:
        lengths = lengths[self._members[level]]
        seed = level_seed(seed, level)
      epoch = orders.Epoch(lengths, self.batch_size, number, seed)
      return self.order(epoch)

    levels = 1 if self.curriculum is None else len(self._members)
    # A batch may lie in two epochs, and two batches are made at a time.
    return functools.lru_cache(maxsize=3 * levels)(ordered)

  @functools.cached_property
  def lengths(self) -> np.ndarray:
    """[N] tokens of each example."""
    if isinstance(self.examples, Packs):
      return self.examples.lengths
    return columns.lengths(self.examples)

  @functools.cached_property
  def _candidates(self) -> int | None:
    """K of the longest list, so that every batch has the same shape."""
    if isinstance(self.examples, Packs):
      return None
    return int(columns.candidates(self.examples).max())

  @functools.cached_property
  def _weighted(self) -> bool:
    """Whether demonstrations differ in weight; the same for every batch."""
    if isinstance(self.examples, Packs):
      return False
    return bool(np.any(columns.weights(self.examples) != 1.0))

  @functools.cached_property
  def _members(self) -> list[np.ndarray]:
    """The places of every level's examples."""
    return self.curriculum.members(self.examples)

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
    """The rows of the global batch of a step that are made here."""
    indices = self.indices(step)
    made = range(len(indices)) if self.rows is None else self.rows.tolist()
    return collate(
      self._rows(indices, made),
      pad_id=self.pad_id,
      limits=self.limits,
      # All processes pad alike, or they would run different programs.
      longest=int(self.lengths[indices].max()),
      candidates=self._candidates,
      weighted=self._weighted,
    )

  def _rows(
    self, indices: np.ndarray, made: Sequence[int]
  ) -> list[Example] | list[Pack]:
    """The examples of some rows, repeats with an index of their own."""
    rows = [self.examples[i] for i in indices[made].tolist()]
    if self.records is None:
      return rows
    # How often a row's example stands in the batch before it.
    again = [int((indices[:row] == indices[row]).sum()) for row in made]
    return [
      row._replace(index=row.index + times * self.records) if times else row
      for row, times in zip(rows, again, strict=True)
    ]

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
