"""Numbers in words, and lines that fit a console."""

import sys
import textwrap
from collections.abc import Mapping

from rlhf_jax import progress
from rlhf_jax.evaluation import tables

LINE_END = '↵'
NAMES = 22  # Letters, of what a line is about.
MOST = 6  # Different values that a line counts one by one.


def columns() -> int:
  """Letters of a line of the console."""
  return progress.width(sys.stdout)


def table(rows: tables.Table) -> str:
  """A table in lines of the console."""
  return tables.fitted(rows, columns())


def line(name: str, said: str) -> str:
  """A fact, its name in a column of its own."""
  return textwrap.fill(
    visible(said),
    columns(),
    initial_indent=f'{name:<{NAMES}}',
    subsequent_indent=' ' * NAMES,
  )


def wrapped(text: str) -> str:
  """A paragraph as wide as the console, all lines but its first indented."""
  return textwrap.fill(visible(text), columns(), subsequent_indent='  ')


def counted(counts: Mapping) -> str:
  """'user 20 (80 %), system 5 (20 %)', the most frequent first."""
  total = sum(counts.values())
  often = sorted(counts.items(), key=lambda item: -item[1])
  said = [f'{name}: {of(n, total)}' for name, n in often[:MOST]]
  more = len(often) - MOST
  return ', '.join(said) + (f', and {more} more' if more > 0 else '')


def of(count: int, total: int) -> str:
  """'20 (80 %)'."""
  return f'{count:,} ({percent(count, total)})'


def percent(count: int, total: int) -> str:
  """'80 %', but '<1 %' of what is not none, '>99 %' of what is not all."""
  if not total:
    return '–'
  share = 100 * count / total
  if 0 < share < 1:
    return '<1 %'
  return '>99 %' if 99 < share < 100 else f'{share:.0f} %'


def short(number: float) -> str:
  """Three digits of a number, or all of a whole one."""
  if abs(number) >= 100:
    return f'{number:,.0f}'
  return f'{number:.3g}'


def visible(text: str) -> str:
  """A text in which line ends and control characters can be seen."""
  return ''.join(
    letter
    if letter.isprintable()
    else LINE_END
    if letter == '\n'
    else letter.encode('unicode_escape').decode()
    for letter in text
  )
