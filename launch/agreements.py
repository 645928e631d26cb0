"""A judge on labelled pairs: what `launch.evaluate --pairs DATA` does."""

import sys

import numpy as np

from launch import costs, errors, judges

SHOWN = ('accuracy', 'kappa', 'same', 'first')


def add_arguments(parser):
  """Which labelled pairs a judge is measured on."""
  group = parser.add_argument_group('a judge on labelled pairs')
  group.add_argument(
    '--pairs',
    metavar='DATA',
    help='a file, a folder, or a prepared dataset (llmbar, hh_rlhf, …) of any '
    'format that compares responses; RewardBench as JSON lines or Parquet',
  )
  group.add_argument(
    '--columns',
    default='',
    help='what the files call the fields, as in prompt=question,chosen=good',
  )
  group.add_argument('--per-prompt', type=int, help='so many pairs of a prompt')
  group.add_argument(
    '--least-gap',
    type=float,
    default=0.0,
    help='leave out pairs whose scores differ by less',
  )


def measure(options) -> None:
  """Measures the judge of the command line on the pairs that it names."""
  from rlhf_jax.data import names
  from rlhf_jax.evaluation import agreement, orders, reward_bench
  from rlhf_jax.storage import files

  if options.order != 'both':
    raise errors.OptionError(
      f'--order {options.order} is of policies; a judge is measured in both '
      'orders'
    )
  pairs, notes = labelled_pairs(options)
  judge = judges.named(options, options.out)
  for note in notes:
    print(note, file=sys.stderr)
  prompts, first, second, labels = map(list, zip(*pairs, strict=True))
  both = ([*prompts, *prompts], [*first, *second], [*second, *first])
  costs.agreed_to(judge, options, both)
  files.make_folder(options.out)
  credits = orders.both(
    judges.kept(judge, options.out).judge, prompts, first, second
  )
  if np.isnan(credits).any(axis=1).all():
    raise errors.OptionError(
      f'{judge.name} gave no verdict in both orders on any of {len(pairs)} '
      'pairs; look at what it says, and at whether the template suits it'
    )
  found = agreement.by_kind(credits, labels, prompts)
  write(options, judge, pairs, credits, found)
  print(f'\n{judge.name} on {options.pairs}: {len(pairs)} pairs\n')
  print(agreement_table(found))
  if sections := reward_bench.sections(found):
    print(f'\nSections of RewardBench:\n\n{section_table(sections)}')
    if left_out := reward_bench.missing(found):
      print(f'Without {names.listed(left_out)}, which are not there.')
  print(f'\n{options.out}')


def labelled_pairs(options):
  """The pairs that the command line names, and notes on how they were read."""
  from rlhf_jax.data import files, formats, prepared
  from rlhf_jax.evaluation import labelled

  if options.per_prompt is not None:
    errors.check_whole('--per-prompt', options.per_prompt, 1)
  if not 0.0 <= options.least_gap < float('inf'):
    raise errors.OptionError(
      f'--least-gap must be 0 or more, got {options.least_gap:g}'
    )
  if dataset := prepared.find(options.pairs):
    records = prepared.Split(prepared.measured_on(dataset))
  else:
    folder, found = files.files_at(
      options.pairs, options.columns, read=formats.comparisons
    )
    records = found.records(folder)
  pairs = labelled.pairs(
    records,
    least_gap=options.least_gap,
    per_prompt=options.per_prompt,
    count=options.count,
  )
  return pairs, records.notes


def agreement_table(found) -> str:
  """A line for all pairs, and one for each kind."""
  from rlhf_jax import progress
  from rlhf_jax.evaluation import tables

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


def section_table(sections) -> str:
  """A line for each section, and one for the mean of all."""
  from rlhf_jax import progress
  from rlhf_jax.evaluation import tables

  columns = {
    'section': lambda name, estimate: name,
    'right': lambda name, estimate: tables.interval(estimate),
  }
  return tables.fitted(tables.of(sections, columns), progress.width(sys.stdout))


def write(options, judge, pairs, credits, found) -> None:
  """Writes verdicts.jsonl and results.json."""
  from rlhf_jax.data.record_lines import prompt_row
  from rlhf_jax.evaluation import reward_bench
  from rlhf_jax.storage import files

  rows = (
    prompt_row(pair.prompt)
    | {'where': pair.prompt.where, 'first': pair.first, 'second': pair.second}
    | {'label': pair.label, 'credits': [number(x) for x in credit]}
    for pair, credit in zip(pairs, credits.tolist(), strict=True)
  )
  files.write_lines(options.out / 'verdicts.jsonl', rows)
  results = {'judge': judge.name, 'identity': judge.identity}
  results |= {'pairs': str(options.pairs), 'agreement': {}}
  for name, measured in found.items():
    row = {key: plain(getattr(measured, key)) for key in SHOWN}
    counts = ('count', 'ties', 'unread')
    row |= {key: getattr(measured, key) for key in counts}
    results['agreement'][name] = row
  if sections := reward_bench.sections(found):
    results['sections'] = {k: plain(v) for k, v in sections.items()}
  files.write_json(options.out / 'results.json', results)


def plain(estimate):
  """An estimate as JSON has it."""
  return {name: number(value) for name, value in estimate._asdict().items()}


def number(value):
  """A number as JSON has it: null where it is none."""
  return value if value == value and abs(value) != float('inf') else None
