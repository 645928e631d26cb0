"""The report as a person reads it: sentences, tables, plots, responses.

First what was asked and what came out, then the table, the plot of the claims
and samples side by side; what only some readers want is folded.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rlhf_jax.evaluation import (
  claims,
  learning_curves,
  length_control,
  reward_curve,
  side_by_side,
  tables,
)
from rlhf_jax.evaluation.findings import Findings
from rlhf_jax.evaluation.preference_accuracy import PairMetrics
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.evaluation.statistics import Estimate
from rlhf_jax.evaluation.summary import Summary

NO_PLOTS = (
  'Plots are left out, since matplotlib is not installed: '
  '`pip install matplotlib`.'
)
MOST_SHOWN = 9  # Prompts with their responses, most of them folded.
# Columns of the table of reward models that are not folded.
MODEL_COLUMNS = ('right', 'always the longer', 'beyond the longer')
HELD_OUT = (
  'How often the log-ratio of a policy that learnt from pairs to its reference '
  'is higher on the better response, beside always taking the longer one; the '
  "loss is its stage's, the margin how much higher (sd, its standard "
  'deviation), and n the pairs.'
)
FEWEST_ROWS = 40  # Of a curve that a turn-over is looked for in.


class Drawn(NamedTuple):
  """The plots of a report, by the names of their files; None where none is.

  Attributes:
    win_rates: of all that is compared.
    by_kind: the same by kind of prompt.
    reward_curves: the rewards by KL.
    training: {stage: its first numbers, and the rest}.
  """

  win_rates: str | None = None
  by_kind: str | None = None
  reward_curves: str | None = None
  training: Mapping[str, Sequence[str]] = {}


def page(found: Findings, drawn: Drawn | None, shown: int) -> str:
  """report.md.

  Args:
    found: all that was measured.
    drawn: the plots, None where they could not be drawn.
    shown: how many prompts to show.
  """
  plots, policies = drawn or Drawn(), found.policies
  first, _ = columns(tables.policy_rows(policies))
  over_optimised, others = turn_overs(found.reward_curves)
  parts = [
    f'# {found.title}',
    listed(
      [
        *(claims.sentences(found.contrasts) or headline(policies)),
        *over_optimised,
      ]
    ),
  ]
  if found.seed is not None and compared(policies):
    parts.append(claims.covers([found.seed]))
  parts += [
    tables.markdown(first),
    legend(policies),
    _image(plots.win_rates, 'Win rates with their intervals'),
  ]
  if drawn is None:
    parts.append(NO_PLOTS)
  rows = side_by_side.rows_shown(next(iter(found.samples.values())), MOST_SHOWN)
  parts += ['## Samples', side_by_side.markdown(found.samples, rows[:shown])]
  if rows[shown:]:
    more = side_by_side.markdown(found.samples, rows[shown:])
    parts.append(folded(f'{len(rows[shown:])} prompts more', more))
  if found.reward_curves and (plots.reward_curves or others):
    parts += [
      '## Reward against KL',
      _image(plots.reward_curves, 'Reward against KL'),
      ' '.join(others),
    ]
  if found.held_out:
    parts += [
      '## Held-out pairs',
      HELD_OUT,
      tables.markdown(tables.held_out_rows(found.held_out)),
    ]
  if found.likelihoods:
    rows = tables.likelihood_rows(found.likelihoods, found.against)
    parts += [
      '## Held-out demonstrations',
      'How likely the responses to held-out prompts are to each policy, in '
      'nats a token.',
      tables.markdown(rows),
    ]
  parts += [*reward_models(found), '## More', *details(found, plots)]
  if found.notes or found.made:
    parts += ['## How it was made', *found.notes]
    parts.append(listed(found.made))
  return '\n\n'.join(part for part in parts if part) + '\n'


def columns(rows: tables.Table) -> tuple[tables.Table, tables.Table]:
  """Of a table of policies, what a page shows first, and what it folds."""
  rewards = ['gold'] if 'gold' in rows[0] else ['score', 'scored by']
  wins = [name for name in rows[0] if name.startswith('wins against ')]
  return tables.parted(rows, [*wins, *rewards, 'KL, nats'])


def listed(lines: Sequence[str]) -> str:
  """Lines of Markdown, one below the other."""
  return '\n'.join(f'- {line}' for line in lines)


def compared(policies: Mapping[str, Summary]) -> dict[str, Estimate]:
  """{policy: its win rate}, of those that have one."""
  return {
    name: summary.win_rate
    for name, summary in policies.items()
    if summary.win_rate is not None
  }


def headline(policies: Mapping[str, Summary]) -> list[str]:
  """A sentence for every policy compared, saying what its interval allows."""
  sentences = []
  for name, rate in compared(policies).items():
    against = policies[name].against
    verdict = f'cannot be told from {against}: it wins'
    if rate.low > 0.5:
      verdict = f'beats {against} and wins'
    elif rate.high < 0.5:
      verdict = f'loses to {against} and wins'
    sentences.append(f'**{name}** {verdict} {claims.percent(rate)}.')
  return sentences


def reward_models(found: Findings) -> list[str]:
  """How well the reward models tell pairs: what matters, and all of it."""
  if not found.reward_models:
    return []
  telling = found.telling_pairs() or found.reward_models
  parts = [
    '## Reward models',
    'On how many pairs of responses each is right, beside always taking the '
    'longer one: on those of the policy that all are compared with, of the '
    'policies that learnt from it, and on held-out pairs.',
  ]
  if further := tables.told_pairs(telling):
    names = ', '.join(further)
    parts.append(f'So too on pairs made of the same samples: {names}.')
  if found.fitted_rewards:
    names = ', '.join(found.fitted_rewards)
    parts.append(f'Fitted to comparisons, without a network: {names}.')
  first = first_of_models(telling)
  rows = tables.reward_model_rows(found.reward_models)
  every = f'{tables.markdown(rows)}\n\n{tables.explained(rows)}'
  return [*parts, tables.markdown(first), folded('All pairs, in full', every)]


def first_of_models(
  reward_models: Mapping[tuple[str, str], PairMetrics],
) -> tables.Table:
  """The columns of their table that are not folded."""
  shown = (*MODEL_COLUMNS, *tables.told_pairs(reward_models))
  return tables.parted(tables.reward_model_rows(reward_models), shown)[0]


def details(found: Findings, plots: Drawn) -> list[str]:
  """By kind of prompt, by length, and while training: folded."""
  parts, kinds = [], tables.kind_rows(found.policies)
  if kinds:
    image = _image(plots.by_kind, 'Win rates by kind of prompt')
    by_kind = '\n\n'.join(filter(None, (image, tables.markdown(kinds))))
    parts.append(folded('Win rates by kind of prompt', by_kind))
  parts.append(rest_of_policies(columns(tables.policy_rows(found.policies))[1]))
  for stage, files in plots.training.items():
    said = [_image(file, f'Training of {stage}') for file in files]
    constant = learning_curves.chosen(found.curves[stage]).constant
    if constant:
      numbers = ', '.join(f'{k} {v:.4g}' for k, v in constant.items())
      said.append(f'The same at every step: {numbers}.')
    said.append(learning_curves.explained(found.curves[stage]))
    parts.append(folded(f'Training of {stage}', '\n\n'.join(said)))
  return parts


def rest_of_policies(rows: tables.Table) -> str:
  """What of the table of policies is folded."""
  title = f'More of the policies: {", ".join(rows[0][1:])}'
  return folded(title, f'{tables.markdown(rows)}\n\n{tables.explained(rows)}')


def folded(title: str, content: str) -> str:
  """What a reader unfolds."""
  return (
    f'<details><summary>{tables.cell(title)}</summary>\n\n{content}\n\n'
    '</details>'
  )


def legend(policies: Mapping[str, Summary]) -> str:
  """What the table's numbers are, and what to beware of in them."""
  first = next(iter(policies.values()))
  judged = (
    f'judged by {first.judge}. Win rates are fractions with 95 % intervals, '
    'a tie counting half;'
  )
  if first.judge is None:
    judged = (
      'judged by nobody, since no gold reward, reward model or judge scored '
      'all policies;'
    )
  lines = [
    f'{first.prompts} prompts, {judged} ± is a standard error. '
    f'{units(policies, first.judge)}'
  ]
  for name, summary in policies.items():
    lines += _missing(name, summary)
    rate, controlled = summary.win_rate, summary.length_controlled
    if rate is None:
      continue
    if rate.missing:
      lines.append(
        f'{name}: {rate.missing} of {rate.missing + rate.count} pairs had '
        'no verdict and are left out.'
      )
    if length_control.far_apart(rate.value, controlled):
      lines.append(
        f'{name}: length matters; a fit over lengths has it win '
        f'{claims.percent(controlled)} at equal length, not '
        f'{100 * rate.value:.0f} %.'
      )
  return '\n'.join(lines)


def units(policies: Mapping[str, Any], judge: str | None) -> str:
  """What KL, gold and score are, of a table of policies that have them.

  Args:
    policies: {name: its numbers}.
    judge: who judged, in words.
  """
  said, policies = [], policies.values()
  if any(s.kl for s in policies):
    said.append('KL is from the starting policy, per response.')
  if any(s.gold for s in policies):
    # A user's own may not be the truth, and has a name.
    named = (judge or '').partition('the gold reward ')[2]
    gold = f'what {named} gives' if named else 'the true reward'
    said.append(f'Gold is {gold}, in reward units.')
  scorers = {s.scored_by for s in policies if s.score} - {''}
  if len(scorers) == 1:
    said.append(f'The score is given by {scorers.pop()}.')
  elif scorers:
    said.append('Scores of different scorers have no unit in common.')
  return ' '.join(said)


def _missing(name, summary):
  """What a policy's means leave out, and why it may have no win rate."""
  words = {'gold': 'gold reward', 'score': 'score', 'kl': 'KL'}
  for field, count in summary.missing.items():
    if field == 'verdict':
      yield f'{name}: {count} pairs had no verdict, too many for a win rate.'
    else:
      yield (
        f'{name}: {count} responses had no {words[field]} and are left out of '
        'its mean.'
      )


def turn_overs(
  curves: Mapping[str, RewardCurve],
) -> tuple[list[str], list[str]]:
  """A sentence for each policy whose gold reward can be followed closely.

  Those of the policies that were over-optimised, and those of the others.
  """
  sentences, others = [], []
  for name, curve in curves.items():
    if curve.gold is None:
      continue
    curve = curve.where_finite('kl', 'score', 'gold')
    if len(curve.steps) < FEWEST_ROWS:
      continue
    measured = reward_curve.turn_over(curve)
    if not measured.found:
      others.append(f'{name}: no over-optimisation beyond chance.')
      continue
    score = measured.score_gained
    meanwhile = 'did not change beyond chance'
    if score.low > 0:
      meanwhile = f'rose by {tables.interval(score)}'
    sentences.append(
      f'{name}: over-optimised. From its best, around step '
      f'{measured.step:.0f} at {measured.kl:.1f} nats, to the end its gold '
      f'reward fell by {tables.interval(measured.gold_lost)}, and its score '
      f'{meanwhile}.'
    )
  return sentences, others


def _image(file, description):
  return f'![{description}]({file})' if file else ''
