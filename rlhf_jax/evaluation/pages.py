"""The report as a person reads it: sentences, tables, plots, responses.

It is made of blocks, which become Markdown and HTML alike.

First what was asked and what came out, then the table, the plot of the claims
and samples side by side; what only some readers want is folded.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlhf_jax.evaluation import (
  claims,
  foremost,
  headlines,
  learning_curves,
  legends,
  tables,
)
from rlhf_jax.evaluation.blocks import (
  Block,
  Folded,
  Heading,
  Image,
  Items,
  Table,
  Text,
)
from rlhf_jax.evaluation.findings import Curves, Findings
from rlhf_jax.evaluation.preference_accuracy import PairMetrics
from rlhf_jax.evaluation.side_by_side import Answers

NO_PLOTS = (
  'Plots are left out, since matplotlib is not installed: '
  '`pip install matplotlib`.'
)
MOST_SENTENCES = 4  # On claims; of more there is a table.
MOST_FOLDS = 6  # On the training of stages; more are folded together.
# Columns of the table of reward models that are not folded.
MODEL_COLUMNS = ('right', 'beyond the longer')
HELD_OUT = (
  'How often a policy that learnt from comparisons has the higher log-ratio to '
  'its reference on the better response, or log-prob where it has none, '
  "beside always taking the longer one; the loss is its stage's, a dash where "
  'that reads what these pairs lack, the gap how much higher (sd, its '
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


def report(found: Findings, drawn: Drawn | None, shown: int) -> list[Block]:
  """All of the report.

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
  blocks = [
    Heading(found.title, 1),
    *(outcome(found.contrasts) or [said(headlines.of(found))]),
    said(over_optimised),
  ]
  if found.seed is not None and headlines.compared(policies):
    blocks.append(Text(claims.covers([found.seed])))
  blocks += [
    Text(found.background),
    *first,
    Text(tables.unbroken(legends.of(policies))),
    Image(plots.win_rates, 'Win rates with their intervals'),
  ]
  if drawn is None:
    blocks.append(Text(NO_PLOTS))
  blocks += [Heading('Samples'), answers(found, shown)]
  if found.reward_curves and (plots.reward_curves or others):
    blocks += [
      Heading('Reward against KL'),
      Image(plots.reward_curves, 'Reward against KL'),
      Text(others),
    ]
  if found.held_out:
    blocks += [
      Heading('Held-out pairs'),
      Text(HELD_OUT),
      Table(tables.held_out_rows(found.held_out)),
    ]
  if found.likelihoods:
    blocks += [
      Heading('Held-out demonstrations'),
      Text(
        'How likely the responses to held-out prompts are to each policy, in '
        'nats a token.'
      ),
      Table(tables.likelihood_rows(found.likelihoods, found.against)),
    ]
  blocks += [
    *reward_models(found),
    Heading('More'),
    *details(found, plots, rest),
  ]
  if found.notes or found.made:
    blocks += [Heading('How it was made'), Items([*found.notes, *found.made])]
  if found.stages:
    title = 'Stages, with the time that each took when it was made'
    blocks.append(Folded(title, [Items(found.stages)]))
  return blocks


def outcome(contrasts: Mapping[str, claims.Contrast]) -> list[Block]:
  """What was found of the claims: a sentence each, or of many a table."""
  if not contrasts:
    return []
  if len(contrasts) <= MOST_SENTENCES:
    return [said(claims.sentences(contrasts))]
  numbers = ('verdict', 'better wins', 'gold gained', 'policies')
  rows, _ = tables.parted(claims.rows(contrasts), numbers)
  return [Text(claims.counted(contrasts)), Table(rows, left=2)]


def of_policies(
  rows: tables.Table,
  contrasts: Mapping[str, claims.Contrast],
  against: str,
  scores: str,
) -> tuple[list[Block], Folded]:
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
  shown_first = [Table(first), *_said_of(first, scores)]
  return shown_first, Folded(
    title, [*_explained(rest), *_said_of(rest, scores)]
  )


def answers(found: Findings, shown: int) -> Answers:
  """The responses of all policies, some of them foremost."""
  names = foremost.of(
    list(found.samples), found.contrasts, found.against, foremost.MOST_ANSWERS
  )
  credits = {
    name: summary.credits
    for name, summary in found.policies.items()
    if summary.credits is not None
  }
  return Answers(found.samples, names, found.against, credits, shown)


def said(lines: Sequence[str]) -> Items:
  """Sentences one below the other, no interval broken over two lines."""
  return Items([tables.unbroken(line) for line in lines])


def reward_models(found: Findings) -> list[Block]:
  """How well the reward models tell pairs: what matters, and all of it."""
  if not found.reward_models:
    return []
  telling = found.telling_pairs() or found.reward_models
  blocks = [
    Heading('Reward models'),
    Text(
      'On what share of pairs of responses each is right, and on how much more '
      'of them than always taking the longer one is: pairs of the policy that '
      'all are compared with, of the policies that learnt from it, and '
      'held-out ones.'
    ),
  ]
  if further := tables.further_pairs(telling):
    names = ', '.join(further)
    blocks.append(Text(f'So too on pairs made of the same samples: {names}.'))
  if found.fitted_rewards:
    names = ', '.join(found.fitted_rewards)
    blocks.append(Text(f'Fitted to comparisons, without a network: {names}.'))
  every = _explained(tables.reward_model_rows(found.reward_models))
  first = Table(first_of_models(telling))
  return [*blocks, first, Folded('All pairs, in full', every)]


def first_of_models(
  reward_models: Mapping[tuple[str, str], PairMetrics],
) -> tables.Table:
  """The columns of their table that are not folded."""
  shown = (*MODEL_COLUMNS, *tables.further_pairs(reward_models))
  return tables.parted(tables.reward_model_rows(reward_models), shown)[0]


def details(found: Findings, plots: Drawn, policies: Folded) -> list[Block]:
  """By kind of prompt, more of the policies, and while training: folded."""
  blocks, kinds = [], tables.kind_rows(found.policies)
  if kinds:
    title = 'Win rates by kind of prompt'
    blocks.append(Folded(title, [Image(plots.by_kind, title), Table(kinds)]))
  trained = [
    Folded(f'Training of {stage}', training(stage, files, found.curves[stage]))
    for stage, files in plots.training.items()
  ]
  if len(trained) > MOST_FOLDS:
    trained = [Folded(f'Training of {len(trained)} stages', trained)]
  return [*blocks, policies, *trained]


def training(stage: str, files: Sequence[str], curves: Curves) -> list[Block]:
  """The plots of a stage, and what they do not show of its numbers."""
  blocks = [Image(file, f'Training of {stage}') for file in files]
  constant = learning_curves.chosen(curves).constant
  if constant:
    numbers = ', '.join(f'{k} {v:.4g}' for k, v in constant.items())
    blocks.append(Text(f'The same at every step: {numbers}.'))
  return [*blocks, Text(learning_curves.explained(curves))]


def _explained(rows: tables.Table) -> list[Block]:
  """A table, and what its columns are whose heading does not say it."""
  return [Table(rows), Text(tables.explained(rows))]


def _said_of(rows: tables.Table, scores: str) -> list[Block]:
  """What the column of scores is, where a table has it."""
  return [Text(scores)] if 'score' in rows[0] else []
