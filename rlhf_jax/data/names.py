"""Names in sentences, and help with a mistyped one."""

import difflib
from collections.abc import Iterable, Mapping

LONG = 60  # Letters.
MOST = 12  # Names.


def nearest(name: str, valid: Iterable[str]) -> str:
  """'; did you mean …?' for names like this one, or else '.'."""
  close = difflib.get_close_matches(name, list(valid))
  return f'; did you mean {" or ".join(map(quoted, close))}?' if close else '.'


def quoted(text: str) -> str:
  """A text in quotes, its end left out where it is long."""
  return repr(text if len(text) <= LONG else text[:LONG] + '…')


def amounts(counts: Mapping[str, int | None]) -> list[str]:
  """'2 tied scores', '1 empty response': what there is any of.

  Args:
    counts: {the plural of what is counted, as a field is called: how many}.
  """
  found = {k.replace('_', ' '): n for k, n in counts.items() if n}
  return [f'{n:,} {k[:-1] if n == 1 else k}' for k, n in found.items()]


def listed(given: Iterable[str]) -> str:
  """Names one after the other, the first few where there are many."""
  shown = [name[:LONG] for name in given]
  return ', '.join(shown[:MOST]) + (', …' if len(shown) > MOST else '')
