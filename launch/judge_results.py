"""How right a judge was before, where labels are known, beside its verdicts."""

import json
import math
import pathlib
import shlex
from typing import Any, NamedTuple

from launch import errors, judges
from rlhf_jax.evaluation import tables
from rlhf_jax.evaluation.statistics import Estimate

# LLMBar's pairs whose better response is the better one for people, too.
NATURAL = 'Natural'


class Row(NamedTuple):
  """A judge on labelled pairs of a kind: fields of `agreement.Agreement`."""

  accuracy: Estimate
  same: Estimate
  count: int


class Measured(NamedTuple):
  """How a judge agreed with labels.

  Attributes:
    file: that says so.
    pairs: the labelled pairs, as --pairs named them.
    rows: of 'all' pairs and, if they are LLMBar's, of the natural ones.
  """

  file: str
  pairs: str
  rows: dict[str, Row]


def of(options: Any, judge: judges.Named) -> Measured | None:
  """What --judge-results says of a judge; None where it is not given.

  Raises:
    OptionError: it is no results.json of a judge, or of another one.
  """
  path = options.judge_results
  if path is None:
    return None
  try:
    said = json.loads(pathlib.Path(path).read_text(encoding='utf-8'))
    found = Measured(str(path), str(said['pairs']), _rows(said['agreement']))
    name, identity = said['judge'], said['identity']
  except (ValueError, LookupError, TypeError) as error:
    raise errors.OptionError(
      f'--judge-results {path} is not what a judge was measured by; '
      f'{_command(options)} writes it, as OUT/results.json'
    ) from error
  if identity != judge.identity:
    raise errors.OptionError(
      f'--judge-results {path} is of {name}, which is not the judge here, or '
      f'was asked otherwise; {_command(options)} measures this one'
    )
  return found


def _rows(agreement) -> dict[str, Row]:
  kinds = ('all', NATURAL) if NATURAL in agreement else ('all',)
  return {
    kind: Row(
      _estimate(agreement[kind]['accuracy']),
      _estimate(agreement[kind]['same']),
      int(agreement[kind]['count']),
    )
    for kind in kinds
  }


def _estimate(given) -> Estimate:
  """Read as `report.plain` wrote it, with null for NaN."""
  fields = (given[name] for name in Estimate._fields)
  return Estimate(*(math.nan if x is None else float(x) for x in fields))


def sentence(measured: Measured | None, options: Any) -> str:
  """How right the judge was on labelled pairs; or how to measure it.

  Args:
    measured: what --judge-results says of it.
    options: of the command line.
  """
  if measured is None:
    return (
      f'The judge was not measured on LLMBar here; `{_command(options)}` does, '
      'and `--judge-results OUT/results.json` sets it beside this.'
    )
  said = '; '.join(
    f'of {row.count} pairs{"" if kind == "all" else f" ({kind})"} right on '
    f'{tables.interval(row.accuracy)}, the same in both orders on '
    f'{tables.interval(row.same)}'
    for kind, row in measured.rows.items()
  )
  return f'The judge on {measured.pairs}: {said} ({measured.file}).'


def _command(options) -> str:
  """That which measures this judge on LLMBar."""
  judge = ['--judge', options.judge]
  for name in (*judges.OF_CHAT, 'flips', *judges.OF_ENDPOINT):
    if name in options.given and name != 'prices':
      judge += [f'--{name.replace("_", "-")}', str(getattr(options, name))]
  return f'python -m launch.evaluate {shlex.join(judge)} --pairs llmbar'
