"""What an experiment leaves behind: results.json, report.md and its plots."""

import importlib
import json
import math
import pathlib
import textwrap
from collections.abc import Mapping, Sequence

from rlhf_jax.evaluation import pages, tables
from rlhf_jax.evaluation.preference_accuracy import PairMetrics
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.evaluation.samples import PolicySamples
from rlhf_jax.evaluation.summary import Summary
from rlhf_jax.storage import files


def write(
  out: pathlib.Path,
  *,
  title: str,
  policies: Mapping[str, Summary],
  samples: Mapping[str, PolicySamples],
  curves: Mapping[str, Mapping[str, Sequence[float]]],
  reward_curves: Mapping[str, RewardCurve] | None = None,
  reward_models: Mapping[str, PairMetrics] | None = None,
  notes: Sequence[str] = (),
  shown: int = 6,
) -> str:
  """Writes OUT/results.json, OUT/report.md and the plots that it shows.

  Without matplotlib there are no plots, and the report says so.

  Args:
    out: a folder, made if it is not there.
    title: the report's first line.
    policies: {name: its numbers}, from `summary.summarise`.
    samples: {name: what the policy answered}; these responses are shown side
      by side.
    curves: {stage: {metric: one number a row}}, the steps in 'step';
      `columns` makes one from a metrics file's rows.
    reward_curves: {policy: its checkpoints}, to plot reward by KL.
    reward_models: {which pairs: how the reward model did on them}.
    notes: sentences for the report to carry besides: seeds, hashes.
    shown: how many prompts to show with their responses.

  Returns:
    The tables for the console, several lines.
  """
  if not policies:
    raise ValueError('there is no policy to report on')
  out = pathlib.Path(out)
  files.make_folder(out)
  reward_curves, reward_models = reward_curves or {}, reward_models or {}
  found = results(policies, reward_curves, reward_models)
  text = json.dumps(found, indent=2, allow_nan=False) + '\n'
  files.write_text(out / 'results.json', text)
  drawn = draw(out, policies, curves, reward_curves)
  page = pages.page(
    title,
    policies=policies,
    samples=samples,
    reward_curves=reward_curves,
    reward_models=reward_models,
    drawn=drawn,
    notes=notes,
    shown=shown,
  )
  files.write_text(out / 'report.md', page)
  return console(policies)


def console(policies: Mapping[str, Summary]) -> str:
  """The policies' table, and that by kind, as aligned text."""
  said = '\n'.join(
    textwrap.fill(line, 80) for line in pages.legend(policies).splitlines()
  )
  parts = [tables.plain(tables.policy_rows(policies)), said]
  kinds = tables.kind_rows(policies)
  if len(kinds) > 2:  # A header and more than one kind.
    parts.insert(1, tables.plain(kinds))
  return '\n\n'.join(parts)


def results(
  policies: Mapping[str, Summary],
  reward_curves: Mapping[str, RewardCurve],
  reward_models: Mapping[str, PairMetrics],
) -> dict:
  """results.json as a dictionary; null where nothing was measured."""
  return _finite(
    {
      'policies': {k: _policy(k, summary) for k, summary in policies.items()},
      'reward_models': {
        k: metrics._asdict() for k, metrics in reward_models.items()
      },
      'reward_curves': {
        k: curve._asdict() for k, curve in reward_curves.items()
      },
    }
  )


def draw(
  out: pathlib.Path,
  policies: Mapping[str, Summary],
  curves: Mapping[str, Mapping[str, Sequence[float]]],
  reward_curves: Mapping[str, RewardCurve],
) -> dict[str, list[str]] | None:
  """Draws what there is to draw; {section: names of its files}.

  Returns None where matplotlib is missing.
  """
  try:
    plots = importlib.import_module('rlhf_jax.evaluation.plots')
  except ImportError:
    return None
  drawn = {'win_rates': [], 'reward_curves': [], 'learning_curves': []}
  if any(summary.win_rate is not None for summary in policies.values()):
    plots.win_rates(out / 'win_rates.png', policies)
    drawn['win_rates'].append('win_rates.png')
  if reward_curves:
    plots.reward_curves(out / 'reward_by_kl.png', reward_curves)
    drawn['reward_curves'].append('reward_by_kl.png')
  for stage, curve in curves.items():
    # How long things took is for the metrics file, not for a reader.
    kept = {k: v for k, v in curve.items() if not k.startswith('seconds/')}
    if len(kept) > 1 and len(kept['step']) > 1:
      name = f'learning_{stage}.png'
      plots.learning_curves(out / name, stage, kept)
      drawn['learning_curves'].append(name)
  return drawn


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
  measured = {
    'length_controlled': summary.length_controlled,
    'gold_reward': summary.gold_reward,
    'proxy_reward': summary.proxy_reward,
    'kl': summary.kl,
    'length': summary.length,
  }
  errors = {}
  for name, estimate in measured.items():
    entry[name] = None if estimate is None else estimate.value
    errors[name] = None if estimate is None else estimate.standard_error
  return entry | {
    'ended': summary.ended,
    'prompts': summary.prompts,
    'missing': dict(summary.missing),
    'standard_errors': errors,
    'by_kind': {k: _rate(rate) for k, rate in summary.by_kind.items()},
  }


def _rate(rate):
  fields = rate._asdict()
  return {'win_rate': fields.pop('value'), **fields}


def _finite(value):
  """The same as JSON knows it: lists and numbers, null for NaN and ±inf."""
  if isinstance(value, Mapping):
    return {key: _finite(part) for key, part in value.items()}
  if hasattr(value, '_asdict'):
    return _finite(value._asdict())
  if hasattr(value, 'tolist'):
    value = value.tolist()
  if isinstance(value, (list, tuple)):
    return [_finite(part) for part in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value
