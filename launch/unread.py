"""On what a judge gave no verdict, and what came in place of one."""

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from launch import judges, members
from rlhf_jax.evaluation import kept_verdicts

MOST_REASONS = 3
LONGEST_QUOTE = 80  # Letters.


class Unread(NamedTuple):
  """Questions to a judge without a verdict, each counted once.

  Attributes:
    refused: {why it was not answered: how many}.
    first_refused: where the prompt of the first of them came from.
    silent: how many replies hold no verdict.
    reply: the first of these.
    kept_in: the file of all replies, or None.
  """

  refused: Mapping[str, int] = {}
  first_refused: str = ''
  silent: int = 0
  reply: str = ''
  kept_in: pathlib.Path | None = None

  @property
  def sentences(self) -> list[str]:
    """At most one on each of the two; links of what was said are none here."""
    said = []
    if count := sum(self.refused.values()):
      reasons = collections.Counter(self.refused).most_common()
      said.append(
        f'{_questions(count)} refused, and without a verdict (the first to '
        f'{self.first_refused}): '
        + '; '.join(why for why, _ in reasons[:MOST_REASONS])
        + '; …' * (len(reasons) > MOST_REASONS)
      )
    if self.silent:
      quote = ' '.join(self.reply.split())
      quote = quote[:LONGEST_QUOTE] + '…' * (len(quote) > LONGEST_QUOTE)
      kept = f' (all are in {self.kept_in})' if self.kept_in else ''
      reply = 'reply holds' if self.silent == 1 else 'replies hold'
      said.append(f'{self.silent} {reply} no verdict, as {quote!r}{kept}')
    return [sentence.replace('](', '] (') for sentence in said]

  @property
  def plain(self) -> dict[str, Any]:
    """As results.json has it."""
    return {'refused': dict(self.refused), 'silent': self.silent}


def of(
  judge: judges.Named,
  pairs: Sequence[Sequence[Sequence[Any]]],
  folder: pathlib.Path,
) -> Unread:
  """What is known of the questions on pairs that were put to a judge.

  Args:
    judge: that was asked; of one that is no chat model nothing is known.
    pairs: that it was asked about, as of `members.shared`.
    folder: where an endpoint's replies are kept.
  """
  refused, places, silent = collections.Counter(), [], []
  came = {
    key: place
    for place, key in enumerate(kept_verdicts.read(folder / judges.VERDICTS))
  }
  for member, orders in members.shared(judge.members, judge.flips, pairs):
    asking = member.asking
    orders = [_as_they_came(member, shown, came) for shown in orders]
    for answer, prompts in _answered(asking, orders):
      if answer.refusal is not None:
        refused[answer.refusal] += 1
        places.append(prompts[0].place)
      elif np.isnan(asking.read(answer, len(prompts))).any():
        silent.append(answer.text)
  return Unread(
    refused,
    places[0] if places else '',
    len(silent),
    silent[0] if silent else '',
    folder / judges.REPLIES if judge.url else None,
  )


def _as_they_came(member, shown, came):
  """Columns, in the order in which the rows' verdicts came in.

  So those that were asked about together stand together.
  """
  rows = sorted(
    zip(*shown, strict=True),
    key=lambda row: came[kept_verdicts.key(member.identity, *row)],
  )
  return [[row[i] for row in rows] for i in range(3)]


def _answered(asking, orders):
  """(answer, prompts that it is about) of the questions that were put to it."""
  if asking.template.together > 1:
    return [x for shown in orders for x in _answered_together(asking, shown)]
  asked = dict(x for shown in orders for x in asking.verdict_questions(*shown))
  return [x for x in _kept(asking, asked.items()) if x[0] is not None]


def _answered_together(asking, shown):
  """Likewise of one order's pairs that are asked about together.

  Which of them were depends on how many there were when they were asked: some
  may have been before the others. From each on, the most that have an answer.
  """
  count, most = len(shown[0]), asking.template.together
  places = [
    (begin, end)
    for begin in range(count)
    for end in range(min(begin + most, count), begin, -1)
  ]
  asked = [
    question
    for begin, end in places
    for question in asking.verdict_questions(*(x[begin:end] for x in shown))
  ]
  found, known = [], 0
  for (begin, end), one in zip(places, _kept(asking, asked), strict=True):
    if begin >= known and one[0] is not None:
      found.append(one)
      known = end
  return found


def _kept(asking, asked):
  """(answer or None, prompts) of each (question, prompts)."""
  questions = [question for question, _ in asked]
  said = asking.chat.kept(questions, options=asking.template.options)
  return [(x, about) for x, (_, about) in zip(said, asked, strict=True)]


def _questions(count):
  return '1 question was' if count == 1 else f'{count} questions were'
