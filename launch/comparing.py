"""Policies by a judge: what `launch.evaluate --benchmark NAME` does."""

import functools
import sys

import numpy as np

from launch import answering, costs, errors, judges
from launch.agreements import plain


def add_arguments(parser) -> None:
  """Which policies are compared, and on what."""
  group = parser.add_argument_group('a policy on a benchmark')
  group.add_argument(
    '--benchmark',
    metavar='NAME',
    help='vicuna80, alpaca_eval, llmbar (its natural instructions), mt_bench',
  )
  group.add_argument(
    '--questions', metavar='FILE', help='its questions, if not prepared'
  )
  for name, what in (('policy', 'measured'), ('against', 'held against')):
    group.add_argument(
      f'--{name}',
      metavar='DIR_OR_FILE',
      help=f'what is {what}: a folder of transformers, a run (the --out of '
      'launch.train) or a stage of it (RUN/stages/dpo), or answers as '
      "AlpacaEval's model_outputs.json has them",
    )
  group.add_argument('--max-tokens', type=int, default=300)
  group.add_argument('--max-prompt-tokens', type=int, default=2048)
  group.add_argument(
    '--temperature', type=float, default=0.7, help='0 is greedy (default: 0.7)'
  )
  group.add_argument('--seed', type=int, default=0)
  group.add_argument(
    '--at-a-time', type=int, default=16, help='questions answered together'
  )
  group.add_argument(
    '--difficulties',
    metavar='FILE',
    help='of the instructions, for the win rate at equal length',
  )
  group.add_argument(
    '--most-missing',
    type=float,
    default=0.05,
    help='share of pairs without a verdict that is let pass (default: 0.05)',
  )


def measure(options) -> None:
  """Answers, judges, and reports how often the policy wins."""
  from rlhf_jax.evaluation import model_outputs
  from rlhf_jax.storage import files

  _check(options)
  asked = _questions(options)
  prompts = [question.prompt for question in asked]
  difficulties = None
  if options.difficulties is not None:
    difficulties = model_outputs.difficulties(options.difficulties, prompts)
  judge = judges.named(options, options.out)
  own, other = (
    answering.of(place, asked, options)
    for place in (options.policy, options.against)
  )
  credits = _credits(options, judge, prompts, own.texts, other.texts)
  gaps = np.array(
    [len(a) - len(b) for a, b in zip(own.texts, other.texts, strict=True)]
  )
  found = _rates(credits, gaps, prompts, difficulties, options.most_missing)
  files.make_folder(options.out)
  rows = [
    model_outputs.outputs(prompts, answered.texts, answered.name)
    for answered in (own, other)
  ]
  files.write_json(options.out / 'model_outputs.json', rows[0])
  files.write_json(options.out / 'reference_outputs.json', rows[1])
  files.write_json(
    options.out / 'annotations.json',
    model_outputs.annotations(*rows, credits, judge.name),
  )
  _write(options, judge, own, other, found)
  print(
    f'\n{own.name} against {other.name} on {options.benchmark}, by '
    f'{judge.name} ({options.order}):\n'
  )
  print(_table(found))
  known = 'with' if difficulties is not None else 'without'
  print(f'\nAt equal length: {known} difficulties of the instructions.')
  print(options.out)


def _check(options):
  """Refuses options that cannot be, before anything is read."""
  from rlhf_jax.data import names
  from rlhf_jax.evaluation.questions import BENCHMARKS
  from rlhf_jax.experiment.folder_policy import MAX_ROWS

  if options.benchmark not in BENCHMARKS:
    raise errors.OptionError(
      f'there is no benchmark {options.benchmark!r}'
      f'{names.nearest(options.benchmark, BENCHMARKS)} There are '
      f'{", ".join(BENCHMARKS)}'
    )
  for name in ('policy', 'against'):
    if getattr(options, name) is None:
      raise errors.OptionError(
        '--benchmark compares two: give --policy and --against, each a folder '
        'of transformers, a run, a stage of one, or a file of answers'
      )
  for name in ('max_tokens', 'max_prompt_tokens'):
    errors.check_whole(f'--{name.replace("_", "-")}', getattr(options, name), 1)
  errors.check_whole('--at-a-time', options.at_a_time, 1, MAX_ROWS)
  errors.check_whole('--seed', options.seed, 0, errors.LARGEST_SEED)
  for name, most in (('temperature', 1e3), ('most_missing', 1.0)):
    if not 0.0 <= getattr(options, name) <= most:
      raise errors.OptionError(
        f'--{name.replace("_", "-")} must be from 0 to {most:g}, got '
        f'{getattr(options, name):g}'
      )


def _questions(options):
  from rlhf_jax.evaluation import questions

  return questions.load(options.benchmark, options.questions)[: options.count]


def _credits(options, judge, prompts, own, other):
  """[N] credits of one's own answers; equal ones tie, and nobody is asked."""
  from rlhf_jax.evaluation import orders

  order = {
    'both': orders.averaged,
    'strict': orders.strict,
    'drawn': functools.partial(orders.drawn, seed=options.seed),
  }[options.order]
  differ = [
    i for i, (a, b) in enumerate(zip(own, other, strict=True)) if a != b
  ]
  credits = np.full(len(own), 0.5)
  if differ:
    asked, first, second = (
      [column[i] for i in differ] for column in (prompts, own, other)
    )
    shown = ([*asked, *asked], [*first, *second], [*second, *first])
    if options.order == 'drawn':
      turn = orders.turned(asked, first, second, seed=options.seed)
      shown = (asked, *orders.turn_round(first, second, turn))
    costs.agreed_to(judge, options, shown)
    kept = judges.kept(judge, options.out)
    credits[differ] = order(kept.judge)(asked, first, second)
  return credits


def _rates(credits, gaps, prompts, difficulties, most_missing):
  """{'all' and each kind: (win rate, at equal length)}."""
  from rlhf_jax.evaluation import length_control, win_rate

  whole = win_rate.estimate(credits, prompts, most_missing=most_missing)
  controlled = length_control.win_rate(
    credits, gaps, prompts, difficulties=difficulties
  )
  found = {'all': (whole, controlled)}
  if len({prompt.kind for prompt in prompts}) > 1:
    kinds = win_rate.by_kind(credits, prompts)
    found |= {kind or 'of no kind': (r, None) for kind, r in kinds.items()}
  if length_control.far_apart(whole.value, controlled):
    print(
      'warning: at equal length the win rate is another one; length decides '
      'much of it',
      file=sys.stderr,
    )
  return found


def _table(found) -> str:
  from rlhf_jax import progress
  from rlhf_jax.evaluation import tables

  columns = {
    'questions': lambda name, r: name,
    'wins': lambda name, r: tables.interval(r[0]),
    'at equal length': lambda name, r: tables.interval(r[1]),
    'n': lambda name, r: str(r[0].count),
    'ties': lambda name, r: str(r[0].ties or '–'),
    'no verdict': lambda name, r: str(r[0].missing or '–'),
  }
  return tables.fitted(tables.of(found, columns), progress.width(sys.stdout))


def _write(options, judge, own, other, found) -> None:
  from rlhf_jax.storage import files

  results = {
    'benchmark': options.benchmark,
    'policy': own.name,
    'against': other.name,
    'judge': judge.name,
    'identity': judge.identity,
    'order': options.order,
    'difficulties': options.difficulties,
    'win_rates': {
      name: {
        'win_rate': plain(rate),
        'at_equal_length': controlled and plain(controlled),
      }
      for name, (rate, controlled) in found.items()
    },
  }
  files.write_json(options.out / 'results.json', results)
