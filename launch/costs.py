"""What asking an endpoint costs, told and agreed to before it is asked."""

import collections
import functools
import math
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib import parse as urls

from launch import errors, judges, members
from rlhf_jax.evaluation import kept_verdicts
from rlhf_jax.feedback.verdicts import conversations


class _Asked(NamedTuple):
  """What a model is asked.

  Attributes:
    questions: how many, not answered yet.
    before: questions on the same pairs that were answered before.
    read: about so many tokens of them.
    written: at most so many of its replies.
  """

  questions: int = 0
  before: int = 0
  read: int = 0
  written: int = 0

  def plus(self, other: '_Asked') -> '_Asked':
    return _Asked(*(a + b for a, b in zip(self, other, strict=True)))

  def said(self, prices: Sequence[float] | None) -> str:
    """In words, with what it costs where prices are known."""
    before = f' ({self.questions + self.before} with those answered before)'
    said = (
      f'{self.questions} questions'
      + before * (self.before > 0)
      + f': about {self.read:,} tokens to read, at most {self.written:,} to '
      'write'
    )
    if not prices:
      return said
    cost = (self.read * prices[0] + self.written * prices[1]) / 1e6
    return f'{said}, at most about {cost:,.2f}'


def agreed_to(
  judge: judges.Named,
  options: Any,
  pairs: Sequence[Sequence[Sequence[Any]]],
) -> None:
  """Says what an endpoint will be asked, and asks whether it may.

  Args:
    judge: whose endpoint it is; of one without nothing is said.
    options: of the command line.
    pairs: that it will be asked about, as of `members.shared`; but for those
      of which the --out folder keeps the verdict.

  Raises:
    OptionError: it may not, or nobody is there to say.
  """
  if not judge.url:
    return
  verdicts = kept_verdicts.read(options.out / judges.VERDICTS)
  models = _by_model(judge, pairs, verdicts)
  whole = functools.reduce(_Asked.plus, models.values())
  if not whole.questions:
    return
  print(
    f'{judge.url} is to be asked {whole.said(options.prices)}', file=sys.stderr
  )
  if len(models) > 1:
    for model, asked in models.items():
      print(f'  {model}: {asked.said(options.prices)}', file=sys.stderr)
  if not _asks_first(judge, options):
    return
  if not sys.stdin.isatty():
    raise errors.OptionError(
      'nobody is here to say whether that may be spent; --yes says that it may'
    )
  print('go on? [y/N] ', end='', file=sys.stderr, flush=True)
  if sys.stdin.readline().strip().lower() not in ('y', 'yes'):
    raise errors.OptionError('nothing was asked')


def check(judge: judges.Named, options: Any) -> None:
  """Refuses an endpoint that may cost, where nobody could agree to it later.

  Raises:
    OptionError: nobody could.
  """
  if _asks_first(judge, options) and not sys.stdin.isatty():
    raise errors.OptionError(
      f'{judge.url} is to be asked later, and nobody is here '
      'to say whether what it costs may be spent; --yes says that it may'
    )


def _by_model(judge, pairs, verdicts) -> dict[str, _Asked]:
  """{model: what it is to be asked about pairs without a verdict}."""
  found = collections.defaultdict(_Asked)
  for member, orders in members.shared(judge.members, judge.flips, pairs):
    asking, chat = member.asking, member.asking.chat
    left = [_without_verdict(member, shown, verdicts) for shown in orders]
    asked = [x for shown in left for x in asking.questions(*shown)]
    waiting = chat.unanswered(asked, options=asking.template.options)
    letters = sum(len(m.content) for question in waiting for m in question)
    found[chat.model] = found[chat.model].plus(
      _Asked(
        questions=len(waiting),
        before=len(set(asked)) - len(waiting),
        read=math.ceil(letters / conversations.LETTERS_A_TOKEN),
        written=len(waiting) * chat.max_tokens,
      )
    )
  return found


def _without_verdict(member, shown, verdicts):
  """Columns, without the rows of which a member's verdict is kept."""
  rows = [
    row
    for row in zip(*shown, strict=True)
    if kept_verdicts.key(member.identity, *row) not in verdicts
  ]
  return [[row[i] for row in rows] for i in range(3)]


def check_prices(prices: Sequence[float] | None) -> None:
  """Refuses prices that are none."""
  if prices and not all(0.0 <= price < math.inf for price in prices):
    raise errors.OptionError(
      '--prices must be two amounts of 0 or more, got '
      + ' and '.join(f'{price:g}' for price in prices)
    )


def _asks_first(judge, options) -> bool:
  """Whether it has to be agreed to that an endpoint is asked."""
  if not judge.url or options.yes:
    return False
  return bool(options.prices) or not _is_here(judge.url)


def _is_here(url: str) -> bool:
  """Whether an endpoint is of this machine, and so of no price."""
  return urls.urlsplit(url).hostname in ('localhost', '127.0.0.1', '::1')
