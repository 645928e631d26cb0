"""Policies as tables of text: for a console and for a page."""

import math
from collections.abc import Callable, Mapping, Sequence

from rlhf_jax.evaluation.preference_accuracy import HeldOut, PairMetrics
from rlhf_jax.evaluation.summary import Summary

Table = list[list[str]]  # Rows of cells, the header first.


def policy_rows(policies: Mapping[str, Summary]) -> Table:
  """One row a policy; a column that no policy has a number for is left out."""
  against = next(iter(policies.values())).against
  columns: dict[str, Callable] = {
    'policy': lambda name, s: name,
    f'wins against {against}': lambda name, s: interval(s.win_rate),
    'gold': lambda name, s: with_error(s.gold),
    'score': lambda name, s: with_error(s.score),
    'KL, nats': lambda name, s: with_error(s.kl),
    'tokens': lambda name, s: with_error(s.length, '.1f'),
  }
  rows = [list(columns)] + [
    [cell(name, summary) for cell in columns.values()]
    for name, summary in policies.items()
  ]
  return without_empty_columns(rows)


def length_rows(policies: Mapping[str, Summary]) -> Table:
  """How many responses ended, and the win rates were they equally long."""
  rows = [['policy', 'ended', 'wins at equal length']]
  for name, s in policies.items():
    rows.append(
      [
        name,
        number(s.ended, '.0%'),
        interval(s.length_controlled),
      ]
    )
  return without_empty_columns(rows)


def kind_rows(policies: Mapping[str, Summary]) -> Table:
  """Win rates by kind of prompt: a row a kind, a column a policy."""
  compared = {k: s for k, s in policies.items() if s.by_kind}
  kinds = sorted({kind for s in compared.values() for kind in s.by_kind})
  rows = [['kind', 'prompts', *compared]]
  for kind in kinds:
    rates = [s.by_kind.get(kind) for s in compared.values()]
    count = max(rate.prompts for rate in rates if rate is not None)
    rows.append([kind, str(count), *map(interval, rates)])
  return rows


def reward_model_rows(
  reward_models: Mapping[tuple[str, str], PairMetrics],
) -> Table:
  """A row for every set of pairs that a reward model was measured on."""
  rows = [
    [
      'reward model',
      'pairs of',
      'right',
      'better is longer',
      'better is shorter',
      'always the longer',
      'log loss, nats',
      'calibration error',
      'margin, reward units',
      'n',
    ]
  ]
  for (name, pairs), m in reward_models.items():
    lengths = [None] * 3 if m.lengths is None else m.lengths
    rows.append(
      [
        name,
        pairs,
        interval(m.accuracy),
        *map(interval, lengths),
        number(m.log_loss, '.3f'),
        number(m.calibration_error, '.3f'),
        f'{number(m.margin_mean)} (sd {number(m.margin_sd)})',
        str(m.count),
      ]
    )
  return without_empty_columns(rows)


def held_out_rows(found: Mapping[str, HeldOut]) -> Table:
  """A row for every policy that learnt from pairs, on held-out ones."""
  rows = [
    [
      'held-out pairs',
      'loss',
      'right',
      'always the longer',
      'margin, nats',
      'n',
    ]
  ]
  for name, (loss, m) in found.items():
    longer = m.lengths and m.lengths.always_longer
    rows.append(
      [
        name,
        number(loss, '.3f'),
        interval(m.accuracy),
        interval(longer),
        f'{number(m.margin_mean)} (sd {number(m.margin_sd)})',
        str(m.count),
      ]
    )
  return without_empty_columns(rows)


def narrowed(rows: Table, names: Sequence[str]) -> Table:
  """The columns of these names, where a table has them, for the console."""
  kept = [place for place, name in enumerate(rows[0]) if name in names]
  return [[row[place] for place in kept] for row in rows]


def interval(rate) -> str:
  """'0.71 [0.66, 0.76]', or a dash where there is nothing to show."""
  if rate is None or not math.isfinite(rate.value):
    return '–'
  return f'{rate.value:.2f} [{number(rate.low)}, {number(rate.high)}]'


def with_error(measured, form: str = '.2f') -> str:
  """'1.15 ± 0.02', or a dash where there is nothing to show."""
  if measured is None or not math.isfinite(measured.value):
    return '–'
  error = number(measured.standard_error, form)
  return f'{measured.value:{form}} ± {error}'


def each(rates: Sequence[float]) -> str:
  """'0.71, 0.64', a number a seed; a dash for one, which stands beside it."""
  return ', '.join(map(number, rates)) if len(rates) > 1 else '–'


def number(value: float | None, form: str = '.2f') -> str:
  """A number, or a dash for what is none: None, NaN and infinities."""
  if value is None or not math.isfinite(value):
    return '–'
  return f'{value:{form}}'


def plain(rows: Table) -> str:
  """Columns aligned for a console, the first to the left."""
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = []
  for row in rows:
    cells = [row[0].ljust(widths[0])]
    cells += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
    lines.append('  '.join(cells).rstrip())
  lines.insert(1, '─' * max(map(len, lines)))
  return '\n'.join(lines)


def markdown(rows: Table, *, left: int = 1) -> str:
  """A table for a page, its first `left` columns to the left."""
  width = len(rows[0])
  align = ['---' if i < left else '---:' for i in range(width)]
  lines = [map(cell, rows[0]), align, *(map(cell, row) for row in rows[1:])]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def cell(text: str) -> str:
  """Any text as the content of one cell: no line ends, bars or HTML."""
  for character, escaped in (
    ('&', '&amp;'),
    ('<', '&lt;'),
    ('>', '&gt;'),
    ('|', '\\|'),
  ):
    text = text.replace(character, escaped)
  return text.strip().replace('\n', '<br>')


def without_empty_columns(rows: Sequence[Sequence[str]]) -> Table:
  """The columns that have a number for anybody."""
  columns = zip(*rows, strict=True)
  kept = [c for c in columns if any(value != '–' for value in c[1:])]
  return [list(row) for row in zip(*kept, strict=True)]
