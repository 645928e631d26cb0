"""Policies by a judge: what `launch.evaluate --benchmark NAME` does."""

import functools
import pathlib
import sys

import numpy as np

from launch import (
  answering,
  comparison_report,
  costs,
  errors,
  flips,
  judge_results,
  judges,
  unread,
)
from rlhf_jax.data import names
from rlhf_jax.evaluation import (
  annotators,
  benchmark_results,
  length_control,
  model_outputs,
  orders,
  questions,
  win_rate,
)
from rlhf_jax.evaluation.questions import BENCHMARKS
from rlhf_jax.experiment.folder_policy import MAX_ROWS
from rlhf_jax.storage import files

# Options that only a policy that answers now reads.
OF_SAMPLING = ('max_tokens', 'max_prompt_tokens', 'temperature', 'at_a_time')


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
  judge_agreement = judge_results.of(options, judge)
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
  comparison_report.tell(
    options,
    comparison_report.Compared(
      judge=judge,
      judge_agreement=judge_agreement,
      policies=(own.name, other.name),
      outputs=outputs,
      judged=judged,
      rates=rates,
      silence=silence,
    ),
  )


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
  for name in ('questions', 'difficulties', 'people', 'judge_results'):
    if getattr(options, name) is not None:
      option = f'--{name.replace("_", "-")}'
      errors.check_there(option, getattr(options, name))
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
  if all(pathlib.Path(p).is_file() for p in (options.policy, options.against)):
    ignored = OF_SAMPLING
    if options.order != 'drawn':
      ignored = (*OF_SAMPLING, 'seed')
    errors.check_unread(
      options.given,
      ignored,
      'policies that are sampled',
      'a comparison of two files of answers',
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
    # The judge was not asked.
    by_place[flips.coins(judge, prompts, own, other)] = np.nan
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
