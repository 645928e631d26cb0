"""Responses of several policies to the same prompts, as a page shows them."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rlhf_jax.data import names
from rlhf_jax.evaluation import tables
from rlhf_jax.evaluation.blocks import Block, Folded, Quote, Table, Text
from rlhf_jax.evaluation.samples import PolicySamples, prompt_groups

LONGEST_SHOWN = 600  # Characters of a prompt's end, or of a response.
MOST_SHOWN = 9  # Prompts with their responses, most of them folded.


class Answers(NamedTuple):
  """What policies answered to the same prompts.

  Attributes:
    samples: {policy: what it answered}, row by row the same prompts.
    names: the foremost of the policies.
    against: the policy that the others are compared with.
    credits: {policy: [N] its credit on each row, against that one}; of those
      that were judged.
    shown: how many prompts are shown where a page cannot search; more are
      folded.
  """

  samples: Mapping[str, PolicySamples]
  names: Sequence[str]
  against: str
  credits: Mapping[str, np.ndarray]
  shown: int

  @property
  def foremost(self) -> dict[str, PolicySamples]:
    """What the foremost of the policies answered."""
    return {name: self.samples[name] for name in self.names}

  def rows(self, most: int) -> list[int]:
    """Rows of at most so many prompts, as of `rows_shown`."""
    return rows_shown(next(iter(self.samples.values())), most)

  def verdict(self, name: str, row: int) -> str:
    """'wins', 'loses', 'ties', 'no verdict', or '' where nobody judged."""
    if name not in self.credits:
      return ''
    credit = self.credits[name][row]
    if math.isnan(credit):
      return 'no verdict'
    if credit == 0.5:
      return 'ties'
    return 'wins' if credit > 0.5 else 'loses'

  def blocks(self) -> list[Block]:
    """Responses of the foremost to some prompts; all and more are folded."""
    few, rows = self.foremost, self.rows(MOST_SHOWN)
    scores = scores_of(self.samples)
    blocks = of_rows(few, rows[: self.shown], scores[:1])
    if len(few) < len(self.samples):
      more = of_rows(self.samples, rows, scores)
      blocks.append(Folded(f'All {len(self.samples)} policies', more))
    elif rows[self.shown :]:
      more = of_rows(self.samples, rows[self.shown :], scores)
      [left] = names.amounts({'prompts': len(rows[self.shown :])})
      blocks.append(Folded(f'{left} more', more))
    return blocks


def of_rows(
  samples: Mapping[str, PolicySamples],
  rows: Sequence[int],
  scores: Sequence[str],
) -> list[Block]:
  """Prompts with what each policy answered, its first sample of each.

  Args:
    samples: {policy: what it answered}.
    rows: which of the prompts.
    scores: which columns of numbers stand next to a response, of 'gold' and
      'score'; a telephone's screen has room for one.
  """
  first, blocks = next(iter(samples.values())), []
  for row in rows:
    prompt = first.prompts[row]
    if prompt.kind:
      blocks.append(Text(f'**{prompt.kind}**'))
    blocks.append(Quote(end_of(prompt.text, LONGEST_SHOWN)))
    blocks.append(Table(_answers(samples, row, scores), left=2))
  return blocks


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


def scores_of(samples: Mapping[str, PolicySamples]) -> list[str]:
  """The scores that there are, what was meant before what was learnt from."""
  return [
    field
    for field in ('gold', 'score')
    if any(getattr(s, field) is not None for s in samples.values())
  ]


def score(policy: PolicySamples, field: str, row: int) -> str:
  """A number of a response, a dash where it has none."""
  values = getattr(policy, field)
  return tables.number(None if values is None else values[row])


def end_of(text: str, most: int) -> str:
  """A prompt's end, where what is asked mostly stands."""
  return text if len(text) <= most else f'[…] {text[-most:]}'


def beginning_of(text: str, most: int) -> str:
  """A response's beginning."""
  return text if len(text) <= most else f'{text[:most]} […]'


def _answers(samples, row, scores):
  """The table of one prompt: a row a policy, a column a score."""
  rows = [['policy', 'response', *scores]]
  for name, policy in samples.items():
    text = beginning_of(policy.responses[row], LONGEST_SHOWN)
    numbers = (score(policy, field, row) for field in scores)
    rows.append([name, text, *numbers])
  return rows
