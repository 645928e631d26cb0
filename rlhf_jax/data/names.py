"""Help with a mistyped name."""

import difflib
from collections.abc import Iterable


def nearest(name: str, valid: Iterable[str], *, most: int = 3) -> str:
  """'; did you mean …?' for names like this one, or else '.'."""
  close = difflib.get_close_matches(name, list(valid), n=most, cutoff=0.6)
  return f'; did you mean {" or ".join(map(repr, close))}?' if close else '.'
