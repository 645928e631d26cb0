"""What a file of choices says, as lines for a console and for a page."""

import collections
from collections.abc import Sequence

from rlhf_jax.evaluation import annotators, tables, win_rate
from rlhf_jax.evaluation.annotators import Choice

WORDS = {1: 'prefer one', 2: 'prefer one'} | {
  'equal': 'find both equal',
  'unsure': 'are unsure',
  'skip': 'skip the pair',
}


def lines(choices: Sequence[Choice]) -> list[str]:
  """Sentences on who chose, how far they agree, and which policy wins."""
  asked = [choice for choice in choices if choice.annotator]
  by_name = collections.Counter(choice.annotator for choice in asked)
  pairs = len({choice.pair for choice in asked})
  people = ', '.join(f'{name} {count}' for name, count in by_name.items())
  said = [
    f'{_count(len(asked), "choice")} on {_count(pairs, "pair")} by '
    f'{"1 person" if len(by_name) == 1 else f"{len(by_name)} people"}'
    f'{f": {people}" if people else ""}.'
  ]
  if asked:
    words = collections.Counter(WORDS[choice.said] for choice in asked)
    counted = ', '.join(f'{count} {word}' for word, count in words.items())
    said.append(f'Of the choices {counted}.')
  if same := len(choices) - len(asked):
    said.append(
      f'{_count(same, "pair")} had the same text twice, and count as equal.'
    )
  if left := annotators.left_share(asked):
    said.append(
      f'The response to the left is preferred {tables.interval(left)} of the '
      'time, one half being no matter of sides.'
    )
  return [*said, *agreement(asked), *wins(choices)]


def agreement(choices: Sequence[Choice]) -> list[str]:
  """How far those who judged the same pairs agree."""
  found = annotators.agreement(choices)
  if found is None:
    return ['Agreement: no pair was judged by two people.']
  return [
    f'Agreement: on {_count(found.pairs, "pair")} two people say the same '
    f"{tables.interval(found.alike)} of the time; Fleiss' kappa "
    f'{tables.interval(found.kappa)}, 0 being chance and 1 always.'
  ]


def wins(choices: Sequence[Choice]) -> list[str]:
  """Which policy wins, of choices between the same two; all and by kind."""
  by_policies = {}
  for choice in choices:
    if any(choice.policies):
      by_policies.setdefault(choice.policies, []).append(choice)
  said = []
  for (first, second), among in by_policies.items():
    rate = annotators.human_win_rate(among)
    if rate is None:
      continue
    said.append(
      f'{first} wins {tables.interval(rate)} against {second}, people judging: '
      f'{_count(rate.count, "pair")}, {rate.ties} of them even, and '
      f'{rate.missing} without a verdict.'
    )
    kinds = win_rate.by_kind(*annotators.wins(among))
    if len(kinds) > 1:
      each = (f'{k or "other"} {tables.interval(r)}' for k, r in kinds.items())
      said.append(f'By kind of prompt: {", ".join(each)}.')
  return said


def _count(number: int, what: str) -> str:
  return f'{number} {what}{"" if number == 1 else "s"}'
