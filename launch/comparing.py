"""Policies by a judge: what `launch.evaluate --benchmark NAME` does."""

import functools
import pathlib
import sys

import numpy as np

from launch import answering, costs, errors, judges, unread
from rlhf_jax import progress
from rlhf_jax.data import names
from rlhf_jax.evaluation import (
  annotators,
  benchmark_results,
  length_control,
  model_outputs,
  orders,
  questions,
  report,
  tables,
  win_rate,
)
from rlhf_jax.evaluation.questions import BENCHMARKS
from rlhf_jax.experiment.folder_policy import MAX_ROWS
from rlhf_jax.storage import files

ORDERS = {
  'both': 'in both orders, and averaged',
  'strict': 'in both orders, a win being one in both',
  'drawn': 'once, in a drawn order',
}


def measure(options) -> None:
  """Answers, judges, and reports how often the policy wins."""
  _check(options)
  asked = questions.load(options.benchmark, options.questions)[: options.count]
  prompts = [question.prompt for question in asked]
  difficulties = choices = None
  if options.difficulties is not None:
    difficulties = model_outputs.difficulties(options.difficulties, prompts)
  if options.people is not None:
    choices = annotators.read(options.people)
  for place in (options.policy, options.against):
    answering.check(place)
  judge = judges.named(options, options.out)
  may_answer = functools.partial(costs.check, judge, options)
  own, other = (
    answering.of(place, asked, options, first=may_answer)
    for place in (options.policy, options.against)
  )
  copies = [
    model_outputs.length_copies(path, prompts, other.texts)
    for path in options.length_copies
  ]
  outputs = [
    model_outputs.outputs(prompts, answered.texts, answered.name)
    for answered in (own, other)
  ]
  files.make_folder(options.out)
  for name, rows in zip(model_outputs.FILES, outputs, strict=True):
    files.write_json(options.out / name, rows)
  credits, by_place, silence = _credits(
    options, judge, prompts, own.texts, other.texts
  )
  judged = benchmark_results.Judged(
    prompts, own.texts, other.texts, credits, shown=by_place
  )
  if choices is not None:
    judged = judged._replace(people=_people(options, choices, judged))
  try:
    rates = benchmark_results.rates(
      judged,
      difficulties=difficulties,
      copies=copies,
      most_missing=options.most_missing,
    )
  except win_rate.MissingVerdictsError as error:
    why = _too_few(options, judge, credits, silence)
    raise errors.OptionError(why) from error
  _warn(rates['all'])
  said = [
    *_sentences(options, judge, judged, rates['all']),
    *silence.sentences,
  ]
  policies = own.name, other.name
  _write(options, judge, policies, outputs, judged, rates, silence, said)
  print(f'\n{own.name} against {other.name} on {options.benchmark}\n')
  width = progress.width(sys.stdout)
  print(tables.fitted(benchmark_results.table(rates), width))
  print()
  print(tables.fitted(benchmark_results.beside(rates, other.name), width))
  print('\n' + report.sentences(said, width))
  print(options.out)


def _check(options):
  """Refuses options that cannot be, before anything is read."""
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
  for name in ('questions', 'difficulties', 'people'):
    if getattr(options, name) is not None:
      errors.check_there(f'--{name}', getattr(options, name))
  for path in options.length_copies:
    errors.check_there('--length-copies', path)
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


def _credits(options, judge, prompts, own, other):
  """[N] credits of one's own answers; equal ones tie, and nobody is asked.

  Also [N, 2] of these answers when shown first and second, as of `orders.both`,
  and what is known of those without.
  """
  asking, reduced = {
    'both': (orders.both, orders.mean),
    'strict': (orders.both, orders.twice),
    'drawn': (functools.partial(orders.once, seed=options.seed), orders.known),
  }[options.order]
  differ = [
    i for i, (a, b) in enumerate(zip(own, other, strict=True)) if a != b
  ]
  credits, by_place = np.full(len(own), 0.5), np.full((len(own), 2), np.nan)
  silence = unread.Unread()
  if differ:
    asked, first, second = (
      [column[i] for i in differ] for column in (prompts, own, other)
    )
    shown = [(asked, first, second), (asked, second, first)]
    if options.order == 'drawn':
      turn = orders.turned(asked, first, second, seed=options.seed)
      shown = [(asked, *orders.turn_round(first, second, turn))]
    costs.agreed_to(judge, options, shown)
    kept = judges.kept(judge, options.out)
    by_place[differ] = asking(kept, asked, first, second)
    credits[differ] = reduced(by_place[differ])
    if np.isnan(credits).any():
      silence = unread.of(judge, shown, options.out)
  return credits, by_place, silence


def _too_few(options, judge, credits, silence) -> str:
  """Why there is no win rate."""
  missing = int(np.isnan(credits).sum())
  if missing == len(credits):
    said = f'{judge.name} gave no verdict on any of {missing} pairs'
  else:
    said = (
      f'{missing} of {len(credits)} pairs have no verdict, and --most-missing '
      f'lets {options.most_missing:.4g} of them pass'
    )
  return '; '.join([said, *silence.sentences])


def _people(options, choices, judged):
  """[N] credits of one's own answers by people; equal ones tie."""
  same = [a == b for a, b in zip(judged.own, judged.other, strict=True)]
  found = annotators.credits(choices, judged.prompts, judged.own, judged.other)
  if np.isnan(found).all():
    raise errors.OptionError(
      f'{options.people} has no verdict on these answers; people are asked '
      f'about them by python -m launch.annotate --compare {options.out}/'
      f'{model_outputs.FILES[0]} {options.out}/{model_outputs.FILES[1]}'
    )
  return np.where(same, 0.5, found)


def _warn(whole) -> None:
  if length_control.far_apart(whole.judge.value, whole.equal_length):
    print(
      'warning: at equal length the win rate is another one; length decides '
      'much of it',
      file=sys.stderr,
    )


def _sentences(options, judge, judged, whole) -> list[str]:
  """Who judged, and how."""
  said = [
    f'Judged by {judge.name}, {ORDERS[options.order]}.',
    _on_length(options, whole),
    _on_answers(options, len(judged.prompts)),
  ]
  alike = benchmark_results.alike(judged)
  if alike is not None:
    said.append(
      f'People: {options.people}. On what both judged, the judge and they '
      f'prefer the same {tables.interval(alike)} of the time.'
    )
  return said


def _on_answers(options, count) -> str:
  """How the answers came about."""
  sampled = [
    place
    for place in (options.policy, options.against)
    if not pathlib.Path(place).is_file()
  ]
  said = (
    f'{count} questions, of a file'
    if options.questions
    else (f'{count} questions')
  )
  if options.count is not None:
    said += f' (--count {options.count})'
  if not sampled:
    return f'{said}; the answers are those of files.'
  of = '' if len(sampled) == 2 else f' of {sampled[0]}'
  return (
    f'{said}; the answers{of} were sampled at temperature '
    f'{options.temperature:g}, at most {options.max_tokens} tokens, seed '
    f'{options.seed}.'
  )


def _on_length(options, whole) -> str:
  """What the win rate at equal length rests on, or why there is none."""
  if whole.unknown:
    return f'At equal length, {whole.rests_on}: unknown, since {whole.unknown}.'
  given = [*filter(None, [options.difficulties]), *options.length_copies]
  of = f' ({", ".join(given)})' if given else ''
  beside = ''
  if not (options.difficulties and options.length_copies):
    beside = (
      '; the published length-controlled win rate has both difficulties of the '
      "instructions and the reference's copies of other lengths"
    )
  return f'At equal length: by a regression {whole.rests_on}{of}{beside}.'


def _sampling(options, place) -> dict:
  """Where a policy's answers are from, and how they were sampled."""
  if pathlib.Path(place).is_file():
    return {'file': str(place)}
  return {
    'sampled_from': str(place),
    'temperature': options.temperature,
    'max_tokens': options.max_tokens,
    'max_prompt_tokens': options.max_prompt_tokens,
    'seed': options.seed,
  }


def _write(
  options, judge, policies, outputs, judged, rates, silence, said
) -> None:
  """Writes annotations.json, results.json, the report and its plots."""
  files.write_json(
    options.out / 'annotations.json',
    model_outputs.annotations(*outputs, judged.credits, judge.name),
  )
  results = {
    'benchmark': options.benchmark,
    'policy': policies[0],
    'against': policies[1],
    'judge': judge.name,
    'identity': judge.identity,
    'order': options.order,
    'seed': options.seed,
    'count': options.count,
    'questions': options.questions,
    'answers': {
      role: _sampling(options, place)
      for role, place in (
        ('policy', options.policy),
        ('against', options.against),
      )
    },
    'difficulties': options.difficulties,
    'length_copies': options.length_copies,
    'at_equal_length': {
      'rests_on': rates['all'].rests_on,
      'unknown_since': rates['all'].unknown or None,
    },
    'people': options.people,
    'no_verdict': silence.plain,
    'win_rates': {
      name: {
        'win_rate': rate.judge,
        'at_equal_length': rate.equal_length,
        'by_people': rate.people,
        'discrete': rate.discrete,
        'same_in_both_orders': rate.position.same,
        'for_the_first': rate.position.first,
        'characters': dict(
          zip(('policy', 'against'), rate.characters, strict=True)
        ),
      }
      for name, rate in rates.items()
    },
  }
  files.write_json(options.out / 'results.json', report.plain(results))
  page = benchmark_results.page(
    judged,
    rates,
    policies,
    options.benchmark,
    said,
    benchmark_results.draw(options.out, judged, rates, policies),
  )
  report.write_page(options.out, 'report', page)
