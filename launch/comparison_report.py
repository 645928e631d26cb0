"""What came out of two policies and a judge, told and written."""

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from launch import flips, judge_results, judges, unread
from rlhf_jax import progress
from rlhf_jax.evaluation import (
  benchmark_results,
  model_outputs,
  report,
  tables,
)
from rlhf_jax.storage import files

ORDERS = {
  'both': 'in both orders, and averaged',
  'strict': 'in both orders, a win being one in both',
  'drawn': 'once, in a drawn order',
}


class Compared(NamedTuple):
  """A policy that was compared with another, and by whom.

  Attributes:
    judge: who judged.
    judge_agreement: of the judge with labels, as measured before, or None.
    policies: names of the policy, and of the other one.
    outputs: of both, the rows of model_outputs.json.
    judged: the answers, with verdicts on them.
    rates: how often the policy wins, as of `benchmark_results.rates`.
    silence: on what there is no verdict.
  """

  judge: judges.Named
  judge_agreement: judge_results.Measured | None
  policies: tuple[str, str]
  outputs: Sequence[Sequence[Mapping[str, Any]]]
  judged: benchmark_results.Judged
  rates: Mapping[str, benchmark_results.Rates]
  silence: unread.Unread


def tell(options: Any, found: Compared) -> None:
  """Writes files into the --out folder, and prints the tables.

  Args:
    options: of the command line.
    found: what came out.
  """
  said = _sentences(options, found)
  _write(options, found, said)
  own, other = found.policies
  print(f'\n{own} against {other} on {options.benchmark}\n')
  width = progress.width(sys.stdout)
  print(tables.fitted(benchmark_results.table(found.rates), width))
  print()
  print(tables.fitted(benchmark_results.beside(found.rates, other), width))
  print('\n' + report.sentences(said, width))
  print(options.out)


def _sentences(options, found) -> list[str]:
  """Who judged, and how."""
  said = [
    f'Judged by {found.judge.name}, {ORDERS[options.order]}.',
    judge_results.sentence(found.judge_agreement, options),
    _on_length(options, found.rates['all']),
    _on_answers(options, len(found.judged.prompts)),
  ]
  judged = found.judged
  said += flips.sentences(
    flips.coins(found.judge, judged.prompts, judged.own, judged.other)
  )
  alike = benchmark_results.alike(judged)
  if alike is not None:
    said.append(
      f'People: {options.people}. On what both judged, the judge and they '
      f'prefer the same {tables.interval(alike)} of the time.'
    )
  return [*said, *found.silence.sentences]


def _on_answers(options, count) -> str:
  """How the answers came about."""
  sampled = [
    place
    for place in (options.policy, options.against)
    if not pathlib.Path(place).is_file()
  ]
  said = f'{count} questions' + ', of a file' * bool(options.questions)
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


def _write(options, found, said) -> None:
  """Writes annotations.json, results.json, the report and its plots."""
  judged, rates, policies = found.judged, found.rates, found.policies
  verdicts = model_outputs.annotations(
    *found.outputs, judged.credits, found.judge.name
  )
  files.write_json(options.out / 'annotations.json', verdicts)
  results = _results(options, found)
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


def _results(options, found) -> dict:
  """What results.json says."""
  return {
    'benchmark': options.benchmark,
    'policy': found.policies[0],
    'against': found.policies[1],
    'judge': found.judge.name,
    'identity': found.judge.identity,
    'judge_agreement': found.judge_agreement,
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
      'rests_on': found.rates['all'].rests_on,
      'unknown_since': found.rates['all'].unknown or None,
    },
    'people': options.people,
    'no_verdict': found.silence.plain,
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
      for name, rate in found.rates.items()
    },
  }
