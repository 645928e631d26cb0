"""What an experiment leaves behind: results.json, its report, and its plots."""

import base64
import html
import importlib
import math
import pathlib
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rlhf_jax import progress
from rlhf_jax.evaluation import (
  blocks,
  claims,
  foremost,
  headlines,
  html_pages,
  learning_curves,
  legends,
  pages,
  tables,
)
from rlhf_jax.evaluation.findings import Findings
from rlhf_jax.storage import files

# Columns of policies that a console does without.
ON_PAGE_ALONE = ('ended', 'wins at equal length')


class Results(dict):
  """What results.json says; shown, in a notebook too, it is the table.

  Attributes:
    table: for a console, several lines.
    plots: files of the plots that tell most.
  """

  def __init__(
    self, content: Mapping, table: str, plots: Sequence[pathlib.Path]
  ):
    super().__init__(content)
    self.table, self.plots = table, tuple(plots)

  def __repr__(self) -> str:
    return self.table

  def _repr_html_(self) -> str:
    images = [base64.b64encode(path.read_bytes()) for path in self.plots]
    return f'<pre>{html.escape(self.table)}</pre>' + ''.join(
      f'<img src="data:image/png;base64,{image.decode()}">' for image in images
    )


def write(
  out: pathlib.Path,
  found: Findings,
  *,
  shown: int = 3,
  width: int = progress.LINE,
) -> Results:
  """Writes OUT/results.json, OUT/report.md, report.html and the plots.

  Without matplotlib there are no plots, and the report says so.

  Args:
    out: a folder, made if it is not there.
    found: all that was measured.
    shown: how many prompts to show with their responses; more are folded.
    width: letters in a line of the tables for the console.

  Returns:
    What results.json says, with the tables for the console.

  Raises:
    ValueError: there is no policy.
  """
  if not found.policies:
    raise ValueError('there is no policy to report on')
  out, content = pathlib.Path(out), results(found)
  files.make_folder(out)
  files.write_json(out / 'results.json', content)
  drawn = draw(out, found)
  page = pages.report(found, drawn, shown)
  write_page(out, 'report', page)
  plots = (drawn.win_rates, drawn.reward_curves) if drawn else ()
  return Results(
    content, console(found, width), [out / name for name in plots if name]
  )


def write_page(
  out: pathlib.Path, name: str, page: Sequence[blocks.Block]
) -> None:
  """Writes OUT/NAME.md and OUT/NAME.html, whose plots are in OUT."""
  files.write_text(out / f'{name}.md', blocks.markdown(page))
  files.write_text(out / f'{name}.html', html_pages.page(page, out))


def console(found: Findings, width: int) -> str:
  """The tables and the claims as aligned text; last, what is beyond the run."""
  policies = found.policies
  _, rows = tables.parted(tables.policy_rows(policies), ON_PAGE_ALONE)
  parts = [tables.fitted(rows, width)]
  if kinds := tables.kind_rows(policies):
    parts.append(tables.fitted(kinds, width))
  if found.contrasts:
    parts.append(sentences(claims.sentences(found.contrasts), width))
  said = [*legends.of(policies).splitlines(), legends.scores(policies)]
  parts.append(sentences(filter(None, said), width))
  if found.reward_models:
    rows = tables.reward_model_rows(found.telling_pairs())
    rows, _ = tables.parted(rows, pages.MODEL_COLUMNS)
    parts.append(tables.fitted(rows, width))
  if found.held_out:
    rows = tables.held_out_rows(found.held_out)
    parts.append(tables.fitted(rows, width))
  if found.likelihoods:
    rows = tables.likelihood_rows(found.likelihoods, found.against)
    parts.append(tables.fitted(rows, width))
  beyond = [found.background]
  if found.seed is not None and headlines.compared(policies):
    beyond.insert(0, claims.covers([found.seed]))
  parts.append(sentences(filter(None, beyond), width))
  return '\n\n'.join(filter(None, parts))


def sentences(lines: Iterable[str], width: int) -> str:
  """Lines of Markdown for a console, each in as many as it takes."""
  plain = (line.replace('`', '').replace('**', '') for line in lines)
  return '\n'.join(textwrap.fill(line, width) for line in plain)


def results(found: Findings) -> dict:
  """results.json as a dictionary; null where nothing was measured."""
  models = {}
  for (model, pairs), metrics in found.reward_models.items():
    models.setdefault(model, {})[pairs] = metrics
  return plain(
    {
      'seed': found.seed,
      'policies': {k: _policy(k, s) for k, s in found.policies.items()},
      'contrasts': found.contrasts,
      'reward_models': models,
      'held_out': found.held_out,
      'likelihoods': found.likelihoods,
      'reward_curves': found.reward_curves,
    }
  )


def draw(out: pathlib.Path, found: Findings) -> pages.Drawn | None:
  """Draws what there is to draw; None where matplotlib is missing."""
  try:
    plots = importlib.import_module('rlhf_jax.evaluation.plots')
  except ImportError:
    return None
  drawn, training = {}, {}
  rates = headlines.compared(found.policies)
  groups = foremost.win_rates(rates, found.contrasts, found.against)
  if groups:
    drawn['win_rates'] = 'win_rates.png'
    plots.win_rates(out / 'win_rates.png', groups)
  names = foremost.of(
    list(rates), found.contrasts, found.against, foremost.MOST_ANSWERS
  )
  kinds = {name: found.policies[name].by_kind for name in names}
  if len({kind for of_one in kinds.values() for kind in of_one}) > 1:
    drawn['by_kind'] = 'win_rates_by_kind.png'
    plots.win_rates_by_kind(out / drawn['by_kind'], kinds, found.against)
  paths = {k: c for k, c in found.reward_curves.items() if len(c.steps) > 1}
  if paths:
    drawn['reward_curves'] = 'reward_by_kl.png'
    plots.reward_curves(out / 'reward_by_kl.png', paths, found.learnt_from)
  for stage, curves in found.curves.items():
    chosen = learning_curves.chosen(curves)
    of_stage = ((chosen.first, ''), (chosen.rest, '_more'))
    for names, suffix in of_stage:
      if names and len(curves['step']) > 1:
        units = {n: learning_curves.unit(n) for n in names}
        file = f'learning_{stage}{suffix}.png'
        title = f'Training of {stage}{", the rest" if suffix else ""}'
        plots.learning_curves(out / file, title, curves, units)
        training.setdefault(stage, []).append(file)
  return pages.Drawn(**drawn, training=training)


def columns(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
  """{metric: one number a row} of a metrics file's rows, NaN where absent."""
  names = dict.fromkeys(name for row in rows for name in row)
  return {name: [row.get(name, math.nan) for row in rows] for name in names}


def _policy(name, summary):
  """One policy's entry of results.json."""
  entry = {'against': summary.against, 'judge': summary.judge}
  if summary.win_rate is not None:
    entry |= _rate(summary.win_rate)
  else:  # A policy against itself wins half; otherwise nobody judged.
    half = 0.5 if name == summary.against else None
    entry |= {'win_rate': half, 'low': half, 'high': half}
  measured = ('length_controlled', 'gold', 'score', 'kl', 'length')
  estimates = {field: getattr(summary, field) for field in measured}
  entry |= {k: e and e.value for k, e in estimates.items()}
  return entry | {
    'scored_by': summary.scored_by,
    'ended': summary.ended,
    'prompts': summary.prompts,
    'missing': dict(summary.missing),
    'standard_errors': {
      k: e and e.standard_error for k, e in estimates.items()
    },
    'by_kind': {k: _rate(rate) for k, rate in summary.by_kind.items()},
  }


def _rate(rate):
  fields = rate._asdict()
  return {'win_rate': fields.pop('value'), **fields}


def plain(value: Any) -> Any:
  """The same as JSON knows it: null for NaN, ±inf and what was not measured."""
  if isinstance(value, Mapping):
    return {key: plain(part) for key, part in value.items()}
  if hasattr(value, '_asdict'):
    return plain(value._asdict())
  if hasattr(value, 'tolist'):
    value = value.tolist()
  if isinstance(value, (list, tuple)):
    return [plain(part) for part in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
