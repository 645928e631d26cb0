"""A judge on labelled pairs: what `launch.evaluate --pairs DATA` does."""

import pathlib
import sys

import numpy as np

from launch import costs, errors, flips, judges, unread
from rlhf_jax import progress
from rlhf_jax.data import formats, names, prepared
from rlhf_jax.data.files import files_at
from rlhf_jax.data.record_lines import prompt_row
from rlhf_jax.evaluation import (
  agreement,
  labelled,
  model_win_rates,
  orders,
  report,
  reward_bench,
  tables,
)
from rlhf_jax.storage import files

SHOWN = ('accuracy', 'kappa', 'same', 'first', 'count', 'ties', 'unread')


def measure(options) -> None:
  """Measures the judge of the command line on the pairs that it names."""
  if options.order != 'both':
    raise errors.OptionError(
      f'--order {options.order} is of policies; a judge is measured in both '
      'orders'
    )
  pairs, records = labelled_pairs(options)
  judge = judges.named(options, options.out)
  for note in records.notes:
    print(note, file=sys.stderr)
  prompts, first, second, labels, _ = map(list, zip(*pairs, strict=True))
  both = [(prompts, first, second), (prompts, second, first)]
  costs.agreed_to(judge, options, both)
  files.make_folder(options.out)
  kept = judges.kept(judge, options.out)
  credits = orders.both(kept, prompts, first, second)
  silence = unread.Unread()
  if np.isnan(credits).any():
    silence = unread.of(judge, both, options.out)
  if np.isnan(credits).any(axis=1).all():
    said = silence.sentences or ['look at what it says']
    raise errors.OptionError(
      f'{judge.name} gave no verdict in both orders on any of {len(pairs)} '
      f'pairs; {"; ".join(said)}'
    )
  coins = flips.coins(judge, prompts, first, second)
  found = agreement.by_kind(credits, labels, prompts, asked=~coins)
  models = model_win_rates.measure(pairs, credits)
  write(options, judge, pairs, credits, found, models, silence)
  print(
    f'\n{judge.name} on {options.pairs}: {len(records)} comparisons, '
    f'{_taken(options, len(pairs))}\n'
  )
  for sentence in flips.sentences(coins):
    print(f'{sentence}\n')
  print(agreement_table(found))
  if models is not None:
    print(f'\n{model_table(models)}')
    if models.rank_correlation is not None:
      print(
        "\nRank correlation of the two win rates (Spearman's ρ): "
        f'{tables.interval(models.rank_correlation)}'
      )
  if sections := reward_bench.sections(found):
    print(f'\nSections of RewardBench:\n\n{section_table(sections)}')
    if left_out := reward_bench.missing(found):
      print(f'Without {names.listed(left_out)}, which are not there.')
  if silence.sentences:
    print(
      '\n' + report.sentences(silence.sentences, progress.width(sys.stdout))
    )
  print(f'\n{options.out}')


def labelled_pairs(options):
  """The pairs that the command line names, and the records they are of."""
  if options.per_prompt is not None:
    errors.check_whole('--per-prompt', options.per_prompt, 1)
  if not 0.0 <= options.least_gap < float('inf'):
    raise errors.OptionError(
      f'--least-gap must be 0 or more, got {options.least_gap:g}'
    )
  if dataset := prepared.find(options.pairs):
    records = prepared.Split(prepared.measured_on(dataset))
  else:
    folder, found = files_at(
      options.pairs, options.columns, read=formats.comparisons
    )
    for name in found.names:
      path = pathlib.Path(folder, name)
      if not prepared.is_split(path):
        errors.check_there('--pairs', path)
    records = found.records(folder)
  pairs = labelled.pairs(
    records,
    least_gap=options.least_gap,
    per_prompt=options.per_prompt,
    count=options.count,
  )
  return pairs, records


def _taken(options, count) -> str:
  """How many pairs the records have, and what left some out."""
  forms = {'per_prompt': 'd', 'least_gap': 'g', 'count': 'd'}
  chosen = [
    f'--{name.replace("_", "-")} {getattr(options, name):{form}}'
    for name, form in forms.items()
    if name in options.given
  ]
  by = f' ({", ".join(chosen)})' if chosen else ''
  return f'{count} pairs of two different responses{by}'


def agreement_table(found) -> str:
  """A line for all pairs, and one for each kind."""
  columns = {
    'pairs': lambda name, a: name,
    'right': lambda name, a: tables.interval(a.accuracy),
    'kappa': lambda name, a: tables.interval(a.kappa),
    'same in both orders': lambda name, a: tables.interval(a.same),
    'for the first': lambda name, a: tables.interval(a.first),
    'n': lambda name, a: str(a.count),
    'ties': lambda name, a: str(a.ties or '–'),
    'unread': lambda name, a: str(a.unread or '–'),
  }
  return tables.fitted(tables.of(found, columns), progress.width(sys.stdout))


def model_table(found) -> str:
  """A line for each model: how often it wins by the labels and by the judge."""
  table = model_win_rates.table(found)
  return tables.fitted(table, progress.width(sys.stdout))


def section_table(sections) -> str:
  """A line for each section, and one for the mean of all."""
  columns = {
    'section': lambda name, estimate: name,
    'right': lambda name, estimate: tables.interval(estimate),
  }
  return tables.fitted(tables.of(sections, columns), progress.width(sys.stdout))


def write(options, judge, pairs, credits, found, models, silence) -> None:
  """Writes verdicts.jsonl and results.json."""
  rows = (
    prompt_row(pair.prompt)
    | {'where': pair.prompt.where, 'first': pair.first, 'second': pair.second}
    | {'label': pair.label, 'models': pair.models}
    | {'credits': report.plain(credit)}
    for pair, credit in zip(pairs, credits.tolist(), strict=True)
  )
  files.write_lines(options.out / 'verdicts.jsonl', rows)
  results = {'judge': judge.name, 'identity': judge.identity}
  results |= {'pairs': str(options.pairs), 'no_verdict': silence.plain}
  results['agreement'] = {}
  for name, measured in found.items():
    results['agreement'][name] = {k: getattr(measured, k) for k in SHOWN}
  if models is not None:
    results['models'] = models._asdict()
  if sections := reward_bench.sections(found):
    results['sections'] = sections
  files.write_json(options.out / 'results.json', report.plain(results))
