"""Lengths as tables: quantiles, and histograms of bars."""

from collections.abc import Iterator, Mapping, Sequence

from launch.inspecting.words import percent, short, table
from rlhf_jax.data import lengths
from rlhf_jax.data.readers import Records

BAR = 14  # Letters.


def of_texts(records: Records) -> Iterator[str]:
  """Lengths without a tokenizer: in characters and in words."""
  for unit, measure in (('characters', len), ('words', lengths.words)):
    found = lengths.text_lengths(records, measure)
    yield spreads(unit, found._asdict())
    if measure is len:
      yield histograms(unit, found)


def spreads(unit: str, measured: Mapping[str, Sequence]) -> str:
  """A row of quantiles for all numbers of a name; those without any left out.

  Args:
    unit: of the numbers.
    measured: {name: [N] numbers}.
  """
  rows = [[unit, 'mean', 'least', '25 %', '50 %', '75 %', '95 %', 'most']]
  for name, numbers in measured.items():
    if len(numbers):
      found = lengths.spread(numbers)
      cells = [short(number) for number in found]
      rows.append([name, *cells])
  return table(rows)


def histograms(unit: str, found: lengths.Lengths) -> str:
  """A column of bars for prompts, for responses, and for both."""
  bins = {
    name: {(b.low, b.high): b.count for b in lengths.histogram(numbers)}
    for name, numbers in found._asdict().items()
    if len(numbers)
  }
  ranges = sorted({place for counts in bins.values() for place in counts})
  rows = [[unit, *bins]]
  for low, high in ranges:
    label = f'{low:,}' if low == high else f'{low:,}–{high:,}'
    bars = [
      bar(counts.get((low, high), 0), counts.values())
      for counts in bins.values()
    ]
    rows.append([label, *bars])
  return table(rows)


def bar(count: int, counts) -> str:
  """A count beside the others: as a bar, and in percent of them all."""
  length = round(BAR * count / max(counts))
  share = percent(count, sum(counts)) if count else ''
  return f'{"█" * length:<{BAR}} {share:>5}'
