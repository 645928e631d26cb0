"""Work on chunks of a stream, a few of them ahead of who takes them."""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')

# One waits for the tokenizer, which does without Python, while one renders.
THREADS = 2


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
  """Lists of `size` items, the last one shorter."""
  items = iter(items)
  while chunk := list(itertools.islice(items, size)):
    yield chunk


def ahead(
  work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
  """The result of each item, in order; THREADS more are worked on meanwhile.

  An error is raised in place of the item's result.
  """
  with futures.ThreadPoolExecutor(THREADS) as pool:
    waiting: collections.deque[futures.Future] = collections.deque()
    try:
      for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > THREADS:
          yield waiting.popleft().result()
      while waiting:
        yield waiting.popleft().result()
    finally:
      for one in waiting:
        one.cancel()
