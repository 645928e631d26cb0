"""What is said of records: what they are, what is twice, what is preferred."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from launch.inspecting import sizes
from launch.inspecting.words import (
  counted,
  line,
  of,
  percent,
  table,
  wrapped,
)
from rlhf_jax.data import inspection, splits
from rlhf_jax.data.readers import Records
from rlhf_jax.evaluation import tables


class Seen(NamedTuple):
  """What was found in records, each as of `data.inspection`.

  Attributes:
    records: with their notes.
    held_out: how many of them are kept out of training.
  """

  records: Records
  contents: inspection.Contents
  repeats: inspection.Repeats
  responses: inspection.ResponseCounts
  preferences: inspection.Preferences | None
  labels: inspection.LabelCounts | None
  ratings: Sequence[inspection.Rating | None]
  held_out: int


def see(records: Records, held_out: float) -> Seen:
  """Counts all that a section or a warning says."""
  return Seen(
    records,
    inspection.contents(records),
    inspection.repeats(records),
    inspection.responses(records),
    inspection.preferences(records),
    inspection.labels(records),
    inspection.ratings(records),
    len(splits.split(records, held_out)[1]),
  )


def sections(seen: Seen) -> Iterator[str]:
  """How the files were read, and what is in them."""
  yield '\n'.join(map(wrapped, seen.records.notes))
  yield '\n'.join(line(name, said) for name, said in facts(seen))
  if seen.preferences is not None and seen.preferences.margins.size:
    yield sizes.spreads(
      'margins', {'first over second': seen.preferences.margins}
    )
  if seen.ratings:
    yield table(rating_rows(seen.ratings))


def facts(seen: Seen) -> Iterator[tuple[str, str]]:
  """(name, what is so) of the records and their prompts and responses."""
  found, total = seen.contents, len(seen.records)
  yield 'records', counted(found.kinds)
  if {*found.prompt_kinds} - {''}:
    kinds = {kind or '(none)': n for kind, n in found.prompt_kinds.items()}
    yield 'kinds of prompts', counted(kinds)
  if found.first_roles:
    yield 'messages of a prompt', counted(found.messages)
    yield 'the first is of', counted(found.first_roles)
    yield 'the last is of', counted(found.last_roles)
  if found.answers:
    yield 'answers to check by', of(found.answers, total)
  again = seen.repeats
  yield (
    'different prompts',
    f'{again.prompts:,}; {of(again.sharing, total)} of the records share theirs'
    ' with another',
  )
  yield (
    'doubles',
    f'{of(again.doubles, total)} of the records equal one before them in '
    'prompt and responses',
  )
  yield (
    'held out',
    f'{of(seen.held_out, total)} of the records, by what is said first: none '
    'of it is on both sides',
  )
  if seen.responses.count:
    yield from response_facts(seen)


def response_facts(seen: Seen) -> Iterator[tuple[str, str]]:
  """(name, what is so) of responses."""
  said, found = seen.responses, seen.contents.responses
  yield 'responses to a prompt', counted(found)
  alike = f'; {said.identical:,} records with one text for all of theirs'
  yield (
    'responses',
    f'{said.count:,}; {said.empty:,} of them empty'
    + (f'{alike}, {said.repeated:,} for some' if max(found) > 1 else ''),
  )
  if seen.preferences is not None:
    compared = seen.preferences
    if compared.scored:
      yield (
        'tied',
        f'{of(compared.tied, compared.scored)} of those with scores, between '
        'the first two',
      )
    yield (
      'the better one',
      f'is longer in {percent(compared.longer, compared.decided)}, shorter in '
      f'{percent(compared.shorter, compared.decided)}: who always takes the '
      f'longer is right to {compared.always_longer:.2f}',
    )
  if seen.labels is not None:
    good, bad = seen.labels
    yield (
      'labels',
      f'desirable {of(good, good + bad)}, undesirable {of(bad, good + bad)}',
    )


def rating_rows(ratings: Sequence[inspection.Rating | None]) -> tables.Table:
  """A row an attribute."""
  rows = [['ratings', 'responses', 'least', 'mean', 'most']]
  for place, rating in enumerate(ratings, 1):
    numbers = ['0', '–', '–', '–']
    if rating is not None:
      numbers = [
        f'{rating.count:,}',
        f'{rating.least:g}',
        f'{rating.mean:.2f}',
        f'{rating.most:g}',
      ]
    rows.append([f'attribute {place}', *numbers])
  return rows
