"""The longest that fits, by doubling and then by halving what is between."""

from collections.abc import Callable

NEAR = 8  # Lengths that differ by less than one in so many are near enough.
MOST = 2**20


def search(
  fits: Callable[[int], bool], start: int, most: int = MOST
) -> tuple[int, int | None]:
  """The longest found that fits, and the shortest found that does not.

  Args:
    fits: whether a length does; where one does, all that are shorter do.
    start: is tried first.
    most: nothing longer is tried.

  Returns:
    0 where nothing fits; None where all do.
  """
  longest, refused = 0, most + 1
  length = min(start, most)
  while longest < length < refused:
    if fits(length):
      longest = length
    else:
      refused = length
    if refused > most:
      length = min(2 * longest, most)
    elif refused - longest > max(longest // NEAR, 1):
      length = (longest + refused) // 2
    else:
      break
  return longest, refused if refused <= most else None
