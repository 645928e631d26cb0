"""What is left of an experiment over several seeds: pooled.json, pooled.md."""

import json
import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

from rlhf_jax.evaluation import tables
from rlhf_jax.evaluation.pooling import Pooled
from rlhf_jax.evaluation.summary import BY_SCORES
from rlhf_jax.storage import files

# What the console shows of policies besides their win rates; the page has all.
ON_CONSOLE = ('by seed', 'gold reward', 'KL, nats', 'tokens')


def write(
  out: pathlib.Path, pooled: Pooled, *, title: str, notes: Sequence[str] = ()
) -> str:
  """Writes OUT/pooled.json and OUT/pooled.md.

  Args:
    out: a folder, made if it is not there.
    pooled: what was found.
    title: the page's first line.
    notes: sentences for the page to carry besides: seeds that are missing.

  Returns:
    The tables for the console, several lines.
  """
  files.make_folder(out)
  text = json.dumps(results(pooled), indent=2, allow_nan=False) + '\n'
  files.write_text(out / 'pooled.json', text)
  said = [legend(pooled), *notes]
  found = [policy_rows(pooled), contrast_rows(pooled)]
  found = [rows for rows in found if len(rows) > 1]
  page = [f'# {title}', *said, *map(tables.markdown, found)]
  files.write_text(out / 'pooled.md', '\n\n'.join(page) + '\n')
  found[0] = tables.narrowed(found[0], [*found[0][0][:2], *ON_CONSOLE])
  shown = [*map(tables.plain, found), *(textwrap.fill(s, 80) for s in said)]
  return '\n\n'.join(shown)


def results(pooled: Pooled) -> dict[str, Any]:
  """pooled.json as a dictionary; null where nothing was measured."""
  found = pooled._asdict()
  for part in ('policies', 'contrasts'):
    found[part] = {name: _plain(v) for name, v in found[part].items()}
  # A single prompt has no standard error: NaN, which JSON does not know.
  return json.loads(json.dumps(found), parse_constant=lambda _: None)


def _plain(entry):
  return {
    name: value._asdict() if hasattr(value, '_asdict') else value
    for name, value in entry._asdict().items()
  }


def policy_rows(pooled: Pooled) -> tables.Table:
  """One row a policy; a column that no policy has a number for is left out."""
  rows = [
    [
      'policy',
      f'wins against {pooled.against}',
      'by seed',
      'at equal length',
      'gold reward',
      'learnt reward',
      'KL, nats',
      'tokens',
    ]
  ]
  for name, policy in pooled.policies.items():
    rows.append(
      [
        name,
        tables.interval(policy.win_rate),
        _each(policy.by_seed),
        tables.interval(policy.length_controlled),
        tables.with_error(policy.gold_reward),
        tables.with_error(policy.proxy_reward),
        tables.with_error(policy.kl),
        tables.with_error(policy.length, '.1f'),
      ]
    )
  columns = zip(*rows, strict=True)
  kept = [c for c in columns if any(value != '–' for value in c[1:])]
  return [list(row) for row in zip(*kept, strict=True)]


def contrast_rows(pooled: Pooled) -> tables.Table:
  """One row a claim; the header alone where nothing is claimed."""
  rows = [['claim', 'better wins', 'by seed', 'gold gained', 'verdict']]
  for claim, contrast in pooled.contrasts.items():
    rows.append(
      [
        f'{claim}: {contrast.better} > {contrast.worse}',
        tables.interval(contrast.win_rate),
        _each(contrast.by_seed),
        tables.interval(contrast.gold_gain),
        contrast.verdict,
      ]
    )
  return rows


def _each(rates):
  return ', '.join(map(tables.number, rates)) or '–'


def legend(pooled: Pooled) -> str:
  """What the tables' numbers are, and what their intervals cover."""
  seeds = ', '.join(map(str, pooled.seeds))
  if len(pooled.seeds) == 1:
    covers = (
      f'Seed {seeds} alone: intervals cover the choice of prompts only, not '
      'what another seed would give.'
    )
  else:
    covers = f'Seeds {seeds}: intervals cover seeds and prompts.'
  judged = 'judged by nobody'
  if pooled.judge is not None:
    judged = f'judged by {BY_SCORES[pooled.judge]}'
  return (
    f'{covers} {pooled.prompts} prompts, {judged}. Win rates are fractions '
    'with 95 % intervals, a tie counting half; ± is a standard error. A claim '
    'holds where the whole interval lies above one half, and does not where it '
    'lies below.'
  )
