"""Policies as tables of text: for a console and for a page."""

import html
import math
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rlhf_jax.evaluation.likelihoods import Likelihood
from rlhf_jax.evaluation.preference_accuracy import HeldOut, PairMetrics
from rlhf_jax.evaluation.summary import Summary

Table = list[list[str]]  # Rows of cells, the header first.
NO_BREAK = '\N{NO-BREAK SPACE}'
# Where no line may end: in '[0.66, 0.76]', '(sd 1.20)', '± 0.02' and '68 %'.
WHOLE = re.compile(
  r'(?<=\[)[-\d][^\[\]]*|(?<=\(sd) |(?<=±) (?=[-\d])|(?<=\d) (?=%)'
)

# Of columns whose heading does not say what they are.
MEANINGS = {
  'tokens': 'of a response, its end included',
  'ended': 'before the limit of tokens',
  'wins at equal length': 'by a fit of who wins over the gap in length',
  'by seed': 'the win rate of each',
  'beyond the longer': 'right less always the longer, pair by pair',
  'better is longer': 'right on pairs whose better response is the longer',
  'better is shorter': 'right on those whose better one is the shorter',
  'log loss, nats': '−log σ(margin) a pair',
  'calibration error': (
    'how far σ(margin), how sure it is, lies from how often it is right'
  ),
  'off from people': (
    'how far σ(margin) lies from how likely people prefer the better response'
  ),
  'Brier score by people': 'expected (σ(margin) − verdict)² of one of them',
  'margin, reward units': (
    "the better response's score less the worse one's (sd: its spread)"
  ),
  'n': 'pairs',
}


def of(
  entries: Mapping[Any, Any], columns: Mapping[str, Callable[[Any, Any], str]]
) -> Table:
  """A row an entry; a column that has nothing for any of them is left out.

  Args:
    entries: {name: what is shown of it}.
    columns: {heading: (name, entry) -> its cell}.
  """
  rows = [[cell(*e) for cell in columns.values()] for e in entries.items()]
  kept = [c for c in zip(columns, *rows, strict=True) if {*c[1:]} - {'–'}]
  return [list(row) for row in zip(*kept, strict=True)]


def policy_rows(policies: Mapping[str, Summary]) -> Table:
  """One row a policy."""
  against = next(iter(policies.values())).against
  columns = {
    'policy': lambda name, s: name,
    f'wins against {against}': lambda name, s: interval(s.win_rate),
    **measure_columns(policies),
    'ended': lambda name, s: number(s.ended, '.0%'),
    'wins at equal length': lambda name, s: interval(s.length_controlled),
  }
  return of(policies, columns)


def measure_columns(policies: Mapping[str, Any]) -> dict[str, Callable]:
  """Columns of rewards, KL and lengths, of one seed's policies or of many's."""
  several = len({s.scored_by for s in policies.values() if s.score}) > 1
  return {
    'gold': lambda name, s: with_error(s.gold),
    'score': lambda name, s: with_error(s.score),
    'scored by': lambda name, s: (several and s.score and s.scored_by) or '–',
    'KL, nats': lambda name, s: with_error(s.kl),
    'tokens': lambda name, s: with_error(s.length, '.1f'),
  }


def kind_rows(policies: Mapping[str, Summary]) -> Table:
  """Win rates by kind of prompt, the fewer of kinds and policies as columns.

  Empty where there are no two kinds.
  """
  compared = {k: s for k, s in policies.items() if s.by_kind}
  kinds = sorted({kind for s in compared.values() for kind in s.by_kind})
  if len(kinds) < 2:
    return []
  rows = [['kind', 'prompts', *compared]]
  for kind in kinds:
    rates = [s.by_kind.get(kind) for s in compared.values()]
    count = max(rate.prompts for rate in rates if rate is not None)
    rows.append([kind, str(count), *map(interval, rates)])
  if len(compared) > len(kinds):
    rows = [list(column) for column in zip(*rows, strict=True)]
  return rows


def reward_model_rows(
  reward_models: Mapping[tuple[str, str], PairMetrics],
) -> Table:
  """A row for every set of pairs that a reward model was measured on."""
  columns = {
    'reward model on pairs': lambda key, m: ' on '.join(key),
    'right': lambda key, m: interval(m.accuracy),
    **{
      name: lambda key, m, name=name: of_part(m.further.get(name), 'accuracy')
      for name in further_pairs(reward_models)
    },
    'always the longer': lambda key, m: of_part(m.lengths, 'always_longer'),
    'beyond the longer': lambda key, m: of_part(m.lengths, 'over_longer'),
    'better is longer': lambda key, m: of_part(m.lengths, 'better_longer'),
    'better is shorter': lambda key, m: of_part(m.lengths, 'better_shorter'),
    'log loss, nats': lambda key, m: number(m.log_loss, '.3f'),
    'calibration error': lambda key, m: number(m.calibration_error, '.3f'),
    'off from people': lambda key, m: of_part(m.calibration, 'error'),
    'Brier score by people': lambda key, m: of_part(m.calibration, 'brier'),
    'margin, reward units': lambda key, m: margin(m),
    'n': lambda key, m: str(m.count),
  }
  return of(reward_models, columns)


def further_pairs(
  reward_models: Mapping[tuple[str, str], PairMetrics],
) -> list[str]:
  """The names of further pairs that they were measured on, in order."""
  return list(
    dict.fromkeys(n for m in reward_models.values() for n in m.further)
  )


def held_out_rows(found: Mapping[str, HeldOut]) -> Table:
  """A row for every policy that learnt from pairs, on held-out ones."""
  columns = {
    'held-out pairs': lambda name, h: name,
    'right': lambda name, h: interval(h.pairs.accuracy),
    'always the longer': lambda name, h: of_part(
      h.pairs.lengths, 'always_longer'
    ),
    'loss': lambda name, h: number(h.loss, '.3f'),
    'log-ratio gap, nats': lambda name, h: margin(h.pairs),
    'n': lambda name, h: str(h.pairs.count),
  }
  return of(found, columns)


def likelihood_rows(found: Mapping[str, Likelihood], against: str) -> Table:
  """A row a policy, on held-out demonstrations; its change from `against`."""
  columns = {
    'held-out demonstrations': lambda name, m: name,
    'loss, nats': lambda name, m: interval(m.loss),
    f'less than {against}': lambda name, m: with_error(m.fall, '.3f'),
    'perplexity': lambda name, m: number(m.perplexity),
    'tokens': lambda name, m: str(m.tokens),
    'n': lambda name, m: str(m.count),
  }
  return of(found, columns)


def of_part(part: Any, field: str) -> str:
  """An Estimate among measures, a dash where these were not taken."""
  return interval(part and getattr(part, field))


def margin(metrics: PairMetrics) -> str:
  """'0.31 (sd 1.20)'."""
  return f'{number(metrics.margin_mean)} (sd {number(metrics.margin_sd)})'


def parted(rows: Table, names: Sequence[str]) -> tuple[Table, Table]:
  """The columns of these names, where a table has them, and the others.

  Both begin with the first column, which says what a row is of.
  """
  columns = range(1, len(rows[0]))
  named = [c for c in columns if rows[0][c] in names]
  others = [c for c in columns if rows[0][c] not in names]
  return _columns(rows, named), _columns(rows, others)


def explained(rows: Table) -> str:
  """What columns are whose heading does not say it: 'n: pairs.'; or ''."""
  known = [f'{k}: {MEANINGS[k]}' for k in rows[0] if k in MEANINGS]
  return f'{"; ".join(known)}.' if known else ''


def interval(rate) -> str:
  """'0.71 [0.66, 0.76]', or a dash where there is nothing to show."""
  if rate is None or not math.isfinite(rate.value):
    return '–'
  return f'{rate.value:z.2f} [{number(rate.low)}, {number(rate.high)}]'


def with_error(measured, form: str = '.2f') -> str:
  """'1.15 ± 0.02', or a dash where there is nothing to show."""
  if measured is None or not math.isfinite(measured.value):
    return '–'
  error = number(measured.standard_error, form)
  return f'{measured.value:z{form}} ± {error}'


def each(rates: Sequence[float]) -> str:
  """'0.71, 0.64', a number a seed; a dash where there is a single one."""
  return ', '.join(map(number, rates)) if len(rates) > 1 else '–'


def number(value: float | None, form: str = '.2f') -> str:
  """A number, or a dash for what is none: None, NaN and infinities."""
  if value is None or not math.isfinite(value):
    return '–'
  return f'{value:z{form}}'


def fitted(rows: Table, width: int) -> str:
  """As `plain`, in lines of `width` letters.

  Columns for which there is no room come below, with the first one again; where
  one has no room beside the first, the table is `listed`.
  """
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  if any(widths[0] + 2 + letters > width for letters in widths[1:]):
    return listed(rows, width)
  parts, used = [[]], widths[0]
  for column, letters in enumerate(widths[1:], 1):
    used += 2 + letters
    if used > width and parts[-1]:
      parts.append([])
      used = widths[0] + 2 + letters
    parts[-1].append(column)
  return '\n\n'.join(plain(_columns(rows, part)) for part in parts)


def listed(rows: Table, width: int) -> str:
  """A table for lines too short for its columns: a line a cell.

  What a row is of stands above its cells; those that have nothing are left out.
  """
  heading = max(map(len, rows[0][1:]))
  lines = [rows[0][0], '─' * min(len(rows[0][0]), width)]
  for first, *cells in rows[1:]:
    lines += textwrap.wrap(first, width)
    for name, text in zip(rows[0][1:], cells, strict=True):
      if text not in ('', '–'):
        line = f'  {name:<{heading}}  {text}'
        lines += textwrap.wrap(line, width, subsequent_indent='    ')
  return '\n'.join(lines)


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


def _columns(rows, places):
  """The first column, and those at these places."""
  return [[row[place] for place in (0, *places)] for row in rows]


def markdown(rows: Table, *, left: int = 1) -> str:
  """A table for a page, its first `left` columns to the left.

  On a narrow screen '0.71 [0.66, 0.76]' is two lines of a cell, not three.
  """
  width = len(rows[0])
  align = ['---' if i < left else '---:' for i in range(width)]
  lines = [map(cell, rows[0]), align]
  for row in rows[1:]:
    numbers = (cell(unbroken(text)) for text in row[left:])
    lines.append([*map(cell, row[:left]), *numbers])
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def unbroken(text: str) -> str:
  """The same text, no number of which is broken over two lines of a page."""
  return WHOLE.sub(lambda found: found[0].replace(' ', NO_BREAK), text)


def cell(text: str) -> str:
  """Any text as the content of one cell: no line ends, bars or HTML."""
  text = html.escape(text, quote=False).replace('|', '\\|')
  return text.strip().replace('\n', '<br>')
