"""What the numbers of a table of policies are, and what to beware of."""

from collections.abc import Mapping
from typing import Any

from rlhf_jax.data import names
from rlhf_jax.evaluation import claims, length_control
from rlhf_jax.evaluation.summary import Summary


def of(policies: Mapping[str, Summary]) -> str:
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
    if controlled is None:
      lines.append(
        f'{name}: its win rate at equal length cannot be told: one side is '
        'always the longer, all verdicts are alike, or length tells them all.'
      )
    if length_control.far_apart(rate.value, controlled):
      lines.append(
        f'{name}: length matters; a fit over lengths has it win '
        f'{claims.percent(controlled)} at equal length, not '
        f'{100 * rate.value:.0f} %.'
      )
  return '\n'.join(lines)


def units(policies: Mapping[str, Any], judge: str | None) -> str:
  """What KL and gold are, of a table of policies that have them.

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
  return ' '.join(said)


def scores(policies: Mapping[str, Any]) -> str:
  """What the column of scores is, of a table that has it; '' of others.

  Args:
    policies: {name: its numbers}.
  """
  scorers = {s.scored_by for s in policies.values() if s.score} - {''}
  if len(scorers) == 1:
    return f'The score is given by {scorers.pop()}.'
  if scorers:
    return 'Scores of different scorers have no unit in common.'
  return ''


def _missing(name, summary):
  """What a policy's means leave out, and why it may have no win rate."""
  words = {'gold': 'gold reward', 'score': 'score', 'kl': 'KL'}
  for field, count in summary.missing.items():
    if field == 'verdict':
      [pairs] = names.amounts({'pairs': count})
      yield f'{name}: {pairs} had no verdict, too many for a win rate.'
    else:
      [responses] = names.amounts({'responses': count})
      yield f'{name}: {responses} had no {words[field]}: left out of its mean.'
