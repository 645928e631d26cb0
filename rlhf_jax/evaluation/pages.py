"""The report as a person reads it: sentences, tables, plots, responses.

First what was asked and what came out, then the table, the plot of the claims
and samples side by side; what only some readers want is folded.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlhf_jax.evaluation import (
  claims,
  learning_curves,
  length_control,
  reward_curve,
  tables,
)
from rlhf_jax.evaluation.findings import Findings
from rlhf_jax.evaluation.reward_curve import RewardCurve
from rlhf_jax.evaluation.samples import PolicySamples, prompt_groups
from rlhf_jax.evaluation.statistics import Estimate
from rlhf_jax.evaluation.summary import Summary

LONGEST_SHOWN = 1_500  # Characters of a response.
NO_PLOTS = (
  'Plots are left out, since matplotlib is not installed: '
  '`pip install matplotlib`.'
)
MOST_SHOWN = 9  # Prompts, most of them folded.
# Columns of the table of reward models that are not folded.
MODEL_COLUMNS = (
  'reward model',
  'pairs of',
  'right',
  'always the longer',
  'right beyond that',
  'n',
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
    tables.markdown(tables.policy_rows(policies)),
    legend(policies),
    _image(plots.win_rates, 'Win rates with their intervals'),
  ]
  if drawn is None:
    parts.append(NO_PLOTS)
  rows = rows_shown(next(iter(found.samples.values())), MOST_SHOWN)
  parts += ['## Samples', side_by_side(found.samples, rows[:shown])]
  if rows[shown:]:
    more = side_by_side(found.samples, rows[shown:])
    parts.append(folded(f'{len(rows[shown:])} prompts more', more))
  if found.reward_curves:
    parts += [
      '## Reward against KL',
      _image(plots.reward_curves, 'Reward against KL'),
      ' '.join(others),
    ]
  if found.held_out:
    parts += [
      '## Held-out pairs',
      'How often the log-ratio of a policy that learnt from pairs to its '
      'reference is higher on the better response.',
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
    tables.markdown(
      tables.narrowed(tables.reward_model_rows(telling), MODEL_COLUMNS), left=2
    ),
  ]
  rows = tables.reward_model_rows(found.reward_models)
  return [*parts, folded('On all pairs', tables.markdown(rows, left=2))]


def details(found: Findings, plots: Drawn) -> list[str]:
  """By kind of prompt, by length, and while training: folded."""
  parts, kinds = [], tables.kind_rows(found.policies)
  if len(kinds) > 2:
    image = _image(plots.by_kind, 'Win rates by kind of prompt')
    by_kind = '\n\n'.join(filter(None, (image, tables.markdown(kinds))))
    parts.append(folded('Win rates by kind of prompt', by_kind))
  lengths = tables.markdown(tables.length_rows(found.policies))
  parts.append(folded('Responses that ended, and length', lengths))
  for stage, files in plots.training.items():
    said = [_image(file, f'Training of {stage}') for file in files]
    constant = learning_curves.chosen(found.curves[stage]).constant
    if constant:
      numbers = ', '.join(f'{k} {v:.4g}' for k, v in constant.items())
      said.append(f'The same at every step: {numbers}.')
    parts.append(folded(f'Training of {stage}', '\n\n'.join(said)))
  return parts


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
  units = ['KL is per response.']
  if any(s.gold for s in policies.values()):
    # A user's own may not be the truth, and has a name.
    named = (first.judge or '').partition('the gold reward ')[2]
    said = f'what {named} gives' if named else 'the true reward'
    units.append(f'Gold is {said}, in reward units.')
  scorers = {s.scored_by for s in policies.values() if s.score} - {''}
  if len(scorers) == 1:
    units.append(f'The score is given by {scorers.pop()}.')
  elif scorers:
    units.append('Scores of different scorers have no unit in common.')
  lines = [
    f'{first.prompts} prompts, {judged} ± is a standard error. '
    + ' '.join(units)
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


def side_by_side(
  samples: Mapping[str, PolicySamples], rows: Sequence[int]
) -> str:
  """Prompts with what each policy answered, its first sample of each."""
  first, parts = next(iter(samples.values())), []
  for row in rows:
    prompt = first.prompts[row]
    quoted = '\n'.join(
      f'> {tables.cell(line)}' for line in prompt.text.splitlines()
    )
    parts.append(f'**{prompt.kind}**\n\n{quoted}' if prompt.kind else quoted)
    parts.append(tables.markdown(_answers(samples, row), left=2))
  return '\n\n'.join(parts)


def rows_shown(samples: PolicySamples, shown: int) -> list[int]:
  """Up to `shown` rows of distinct prompts, the kinds taking turns."""
  seen, by_kind = set(), {}
  for row, group in enumerate(prompt_groups(samples.prompts).tolist()):
    if group not in seen:
      seen.add(group)
      by_kind.setdefault(samples.prompts[row].kind, []).append(row)
  depth = max(map(len, by_kind.values()))
  turns = [
    rows[turn]
    for turn in range(depth)
    for rows in by_kind.values()
    if turn < len(rows)
  ]
  return turns[:shown]


def _answers(samples, row):
  """The table of one prompt: a row a policy, a column a score there is."""
  scores = [
    field
    for field in ('gold', 'score')
    if any(getattr(s, field) is not None for s in samples.values())
  ]
  rows = [['policy', 'response', *scores, 'tokens']]
  for name, policy in samples.items():
    text = policy.responses[row]
    if len(text) > LONGEST_SHOWN:
      text = text[:LONGEST_SHOWN] + ' […]'
    values = [getattr(policy, field) for field in scores]
    rows.append(
      [
        name,
        text,
        *(tables.number(None if v is None else v[row]) for v in values),
        str(int(policy.lengths[row])),
      ]
    )
  return rows


def _image(file, description):
  return f'![{description}]({file})' if file else ''
