"""In which order an epoch goes through its examples, by the seed alone."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rlhf_jax.types.rules import Count


class Epoch(NamedTuple):
  """What an order is made for.

  Attributes:
    lengths: [N] tokens of each example, its prompt and its longest response.
    batch_size: rows of the global batch.
    number: of the epoch, from 0.
    seed: of the run of epochs, at least 0.
  """

  lengths: np.ndarray
  batch_size: int
  number: int
  seed: int

  def random(self, purpose: int = 0) -> np.random.Philox:
    """Random bits of the epoch for a purpose; numpy promises their stream."""
    key = np.array([self.seed, self.number], np.uint64)
    return np.random.Philox(key=key, counter=np.array([0, 0, 0, purpose]))


# [N] the places of the examples, each once.
Order = Callable[[Epoch], np.ndarray]


def at_random(epoch: Epoch) -> np.ndarray:
  """[N] any order of the examples, each as probable as another.

  Sorts random bits. Grain's own shuffle finds one place at a time: in 10 µs
  among thousands of examples, but in 1 ms among fifty and 5 ms among five.
  """
  return _shuffled(len(epoch.lengths), epoch.random())


def of_like_length(epoch: Epoch, *, window: Count = 1024) -> np.ndarray:
  """[N] an order in which the examples of a batch are of like length.

  The examples in random order are cut into windows, and those of a window
  sorted by length, rising and falling by turns; what comes of it is cut into
  batches, which come in random order. Rows of a batch that an epoch shares with
  the one before or after it stay at its ends.

  For losses of one example each. Where the loss is a mean over the tokens of a
  batch, a token weighs more in a batch of short ones.

  Args:
    window: examples that are sorted together. Small ones pad more, large ones
      make batches of examples that are more alike.
  """
  count, size = len(epoch.lengths), epoch.batch_size
  mixed = at_random(epoch)
  windows = np.arange(count) // window
  rising = np.where(windows % 2, -1, 1)  # No batch is of both ends of lengths.
  ordered = mixed[np.lexsort((rising * epoch.lengths[mixed], windows))]
  lead = -epoch.number * count % size  # Rows of a batch that began before.
  if lead >= count:
    return ordered
  whole = (count - lead) // size
  batches = ordered[lead : lead + whole * size].reshape(whole, size)
  batches = batches[_shuffled(whole, epoch.random(1))]
  rest = ordered[lead + whole * size :]
  return np.concatenate([ordered[:lead], batches.reshape(-1), rest])


def _shuffled(count: int, bits: np.random.Philox) -> np.ndarray:
  return np.argsort(bits.random_raw(count), kind='stable')
