"""The report as a person reads it: sentences, tables, plots, responses.

First what was asked and what came out, then the table, the plot of the claims
and samples side by side; what only some readers want is folded.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlhf_jax.data import names
from rlhf_jax.evaluation import (
  claims,
  foremost,
  headlines,
  learning_curves,
  legends,
  side_by_side,
  tables,
)
from rlhf_jax.evaluation.findings import Curves, Findings
from rlhf_jax.evaluation.preference_accuracy import PairMetrics

NO_PLOTS = (
  'Plots are left out, since matplotlib is not installed: '
  '`pip install matplotlib`.'
)
MOST_SHOWN = 9  # Prompts with their responses, most of them folded.
MOST_SENTENCES = 4  # On claims; of more there is a table.
MOST_FOLDS = 6  # On the training of stages; more are folded together.
# Columns of the table of reward models that are not folded.
MODEL_COLUMNS = ('right', 'beyond the longer')
HELD_OUT = (
  'How often a policy that learnt from comparisons has the higher log-ratio to '
  'its reference on the better response, or log-prob where it has none, '
  "beside always taking the longer one; the loss is its stage's, a dash where "
  'that reads what these pairs lack, the margin how much higher (sd, its '
  'standard deviation), and n the pairs.'
)


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
  first, rest = of_policies(
    tables.policy_rows(policies),
    found.contrasts,
    found.against,
    legends.scores(policies),
  )
  over_optimised, others = headlines.turn_overs(found.reward_curves)
  parts = [
    f'# {found.title}',
    outcome(found.contrasts) or said(headlines.of(found)),
    said(over_optimised),
  ]
  if found.seed is not None and headlines.compared(policies):
    parts.append(claims.covers([found.seed]))
  parts += [
    first,
    tables.unbroken(legends.of(policies)),
    _image(plots.win_rates, 'Win rates with their intervals'),
  ]
  if drawn is None:
    parts.append(NO_PLOTS)
  parts += samples(found, shown)
  if found.reward_curves and (plots.reward_curves or others):
    parts += [
      '## Reward against KL',
      _image(plots.reward_curves, 'Reward against KL'),
      others,
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
  parts += [*reward_models(found), '## More', *details(found, plots, rest)]
  if found.notes or found.made:
    parts += ['## How it was made', listed([*found.notes, *found.made])]
  if found.stages:
    title = 'Stages, with the time that each took when it was made'
    parts.append(folded(title, listed(found.stages)))
  return '\n\n'.join(part for part in parts if part) + '\n'


def outcome(contrasts: Mapping[str, claims.Contrast]) -> str:
  """What was found of the claims: a sentence each, or of many a table."""
  if len(contrasts) <= MOST_SENTENCES:
    return said(claims.sentences(contrasts))
  numbers = ('verdict', 'better wins', 'gold gained', 'policies')
  rows, _ = tables.parted(claims.rows(contrasts), numbers)
  return f'{claims.counted(contrasts)}\n\n{tables.markdown(rows, left=2)}'


def of_policies(
  rows: tables.Table,
  contrasts: Mapping[str, claims.Contrast],
  against: str,
  scores: str,
) -> tuple[str, str]:
  """Of a table of policies, what a page shows first, and what it folds.

  Args:
    rows: one a policy.
    contrasts: the claims; of many policies, theirs come first.
    against: the policy that win rates are against.
    scores: what the column of scores is; said where that stands.
  """
  rewards = ['gold'] if 'gold' in rows[0] else ['score', 'scored by']
  wins = [name for name in rows[0] if name.startswith('wins against ')]
  first, rest = tables.parted(rows, [*wins, *rewards, 'KL, nats'])
  every, title = [row[0] for row in rows[1:]], 'More of the policies'
  shown = foremost.of(every, contrasts, against, foremost.MOST_ROWS)
  if len(shown) < len(every):
    first = [first[0], *(row for row in first[1:] if row[0] in shown)]
    rest, title = rows, f'All {len(every)} policies'
  title = f'{title}: {", ".join(rest[0][1:])}'
  below = [scores if 'score' in table[0] else '' for table in (first, rest)]
  below[1] = ' '.join(filter(None, (tables.explained(rest), below[1])))
  first, rest = (
    '\n\n'.join(filter(None, (tables.markdown(table), said)))
    for table, said in zip((first, rest), below, strict=True)
  )
  return first, folded(title, rest)


def samples(found: Findings, shown: int) -> list[str]:
  """Responses of the foremost policies to `shown` prompts; more are folded."""
  answered = found.samples
  rows = side_by_side.rows_shown(next(iter(answered.values())), MOST_SHOWN)
  scores = side_by_side.scores_of(answered)
  first = foremost.of(
    list(answered), found.contrasts, found.against, foremost.MOST_ANSWERS
  )
  few = {name: answered[name] for name in first}
  parts = [
    '## Samples',
    side_by_side.markdown(few, rows[:shown], scores[:1]),
  ]
  if len(few) < len(answered):
    more = side_by_side.markdown(answered, rows, scores)
    parts.append(folded(f'All {len(answered)} policies', more))
  elif rows[shown:]:
    more = side_by_side.markdown(answered, rows[shown:], scores)
    [left] = names.amounts({'prompts': len(rows[shown:])})
    parts.append(folded(f'{left} more', more))
  return parts


def listed(lines: Sequence[str]) -> str:
  """Lines of Markdown, one below the other."""
  return '\n'.join(f'- {line}' for line in lines)


def said(lines: Sequence[str]) -> str:
  """Sentences one below the other, no interval broken over two lines."""
  return tables.unbroken(listed(lines))


def reward_models(found: Findings) -> list[str]:
  """How well the reward models tell pairs: what matters, and all of it."""
  if not found.reward_models:
    return []
  telling = found.telling_pairs() or found.reward_models
  parts = [
    '## Reward models',
    'On what share of pairs of responses each is right, and on how much more '
    'of them than always taking the longer one is: pairs of the policy that '
    'all are compared with, of the policies that learnt from it, and held-out '
    'ones.',
  ]
  if further := tables.further_pairs(telling):
    listed = ', '.join(further)
    parts.append(f'So too on pairs made of the same samples: {listed}.')
  if found.fitted_rewards:
    fitted = ', '.join(found.fitted_rewards)
    parts.append(f'Fitted to comparisons, without a network: {fitted}.')
  first = first_of_models(telling)
  rows = tables.reward_model_rows(found.reward_models)
  every = f'{tables.markdown(rows)}\n\n{tables.explained(rows)}'
  return [*parts, tables.markdown(first), folded('All pairs, in full', every)]


def first_of_models(
  reward_models: Mapping[tuple[str, str], PairMetrics],
) -> tables.Table:
  """The columns of their table that are not folded."""
  shown = (*MODEL_COLUMNS, *tables.further_pairs(reward_models))
  return tables.parted(tables.reward_model_rows(reward_models), shown)[0]


def details(found: Findings, plots: Drawn, policies: str) -> list[str]:
  """By kind of prompt, more of the policies, and while training: folded."""
  parts, kinds = [], tables.kind_rows(found.policies)
  if kinds:
    image = _image(plots.by_kind, 'Win rates by kind of prompt')
    by_kind = '\n\n'.join(filter(None, (image, tables.markdown(kinds))))
    parts.append(folded('Win rates by kind of prompt', by_kind))
  trained = [
    folded(f'Training of {stage}', training(stage, files, found.curves[stage]))
    for stage, files in plots.training.items()
  ]
  if len(trained) > MOST_FOLDS:
    title = f'Training of {len(trained)} stages'
    trained = [folded(title, '\n\n'.join(trained))]
  return [*parts, policies, *trained]


def training(stage: str, files: Sequence[str], curves: Curves) -> str:
  """The plots of a stage, and what they do not show of its numbers."""
  parts = [_image(file, f'Training of {stage}') for file in files]
  constant = learning_curves.chosen(curves).constant
  if constant:
    numbers = ', '.join(f'{k} {v:.4g}' for k, v in constant.items())
    parts.append(f'The same at every step: {numbers}.')
  parts.append(learning_curves.explained(curves))
  return '\n\n'.join(filter(None, parts))


def folded(title: str, content: str) -> str:
  """What a reader unfolds."""
  return (
    f'<details><summary>{tables.cell(title)}</summary>\n\n{content}\n\n'
    '</details>'
  )


def _image(file, description):
  return f'![{description}]({file})' if file else ''
