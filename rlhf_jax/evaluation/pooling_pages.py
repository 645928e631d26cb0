"""What is left of an experiment over several seeds: pooled.json, pooled.md."""

import importlib
import pathlib
import textwrap
from collections.abc import Sequence

from rlhf_jax.evaluation import claims, pages, report, tables
from rlhf_jax.evaluation.pooling import Pooled
from rlhf_jax.storage import files

# What the console shows of policies besides their win rates; the page has all.
ON_CONSOLE = ('by seed', 'gold', 'KL, nats', 'tokens')


def write(
  out: pathlib.Path, pooled: Pooled, *, title: str, notes: Sequence[str] = ()
) -> str:
  """Writes OUT/pooled.json, OUT/pooled.md and the plot that it shows.

  Args:
    out: a folder, made if it is not there.
    pooled: what was found.
    title: the page's first line.
    notes: sentences for the page to carry besides: seeds that are missing.

  Returns:
    The tables for the console, several lines.
  """
  files.make_folder(out)
  files.write_json(out / 'pooled.json', report.plain(pooled))
  said = [legend(pooled), *notes]
  found = [policy_rows(pooled), claims.rows(pooled.contrasts)]
  found = [rows for rows in found if rows]
  page = [
    f'# {title}',
    pages.listed(claims.sentences(pooled.contrasts)),
    tables.markdown(found[0]),
    *said,
    draw(out, pooled),
    *map(tables.markdown, found[1:]),
  ]
  text = '\n\n'.join(part for part in page if part) + '\n'
  files.write_text(out / 'pooled.md', text)
  found[0] = tables.narrowed(found[0], [*found[0][0][:2], *ON_CONSOLE])
  plain = (textwrap.fill(s.replace('`', ''), 80) for s in said)
  return '\n\n'.join([*map(tables.plain, found), *plain])


def draw(out: pathlib.Path, pooled: Pooled) -> str:
  """Draws the win rates; what the page says to show them, if anything."""
  against = {
    (name, pooled.against): policy.win_rate
    for name, policy in pooled.policies.items()
    if policy.win_rate is not None
  }
  claimed = claims.rates(pooled.contrasts, pooled.against)
  if not (against or claimed):
    return ''
  try:
    plots = importlib.import_module('rlhf_jax.evaluation.plots')
  except ImportError:
    return pages.NO_PLOTS
  plots.win_rates(out / 'pooled_win_rates.png', [claimed, against])
  return '![Win rates with their intervals](pooled_win_rates.png)'


def policy_rows(pooled: Pooled) -> tables.Table:
  """One row a policy."""
  columns = {
    'policy': lambda name, p: name,
    f'wins against {pooled.against}': lambda name, p: tables.interval(
      p.win_rate
    ),
    'by seed': lambda name, p: tables.each(p.by_seed),
    'at equal length': lambda name, p: tables.interval(p.length_controlled),
    'gold': lambda name, p: tables.with_error(p.gold),
    'score': lambda name, p: tables.with_error(p.score),
    'KL, nats': lambda name, p: tables.with_error(p.kl),
    'tokens': lambda name, p: tables.with_error(p.length, '.1f'),
  }
  return tables.of(pooled.policies, columns)


def legend(pooled: Pooled) -> str:
  """What the tables' numbers are, and what their intervals cover."""
  judged = f'judged by {pooled.judged_by or "nobody"}'
  return (
    f'{claims.covers(pooled.seeds)} {pooled.prompts} prompts, {judged}. Win '
    'rates are fractions with 95 % intervals, a tie counting half; ± is a '
    'standard error. A claim holds where the whole interval lies above one '
    'half, and does not where it lies below.'
  )
