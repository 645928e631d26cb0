"""What asking an endpoint costs, told and agreed to before it is asked."""

import math
import sys
from collections.abc import Sequence
from typing import Any
from urllib import parse as urls

from launch import errors, judges
from rlhf_jax.feedback.verdicts import conversations


def agreed_to(
  judge: judges.Named,
  options: Any,
  pairs: Sequence[Sequence[Sequence[Any]]],
) -> None:
  """Says what an endpoint will be asked, and asks whether it may.

  Args:
    judge: whose endpoint it is; of one without nothing is said.
    options: of the command line.
    pairs: that it will be asked about, as of `judges.shared`.

  Raises:
    OptionError: it may not, or nobody is there to say.
  """
  if not judge.hosted:
    return
  read = written = questions = known = 0
  for member, orders in judges.shared(judge, pairs):
    asked = [x for shown in orders for x in member.questions(*shown)]
    waiting = member.chat.unanswered(asked, options=member.template.options)
    questions, known = questions + len(waiting), known + len(set(asked))
    letters = sum(len(m.content) for question in waiting for m in question)
    read += math.ceil(letters / conversations.LETTERS_A_TOKEN)
    written += len(waiting) * member.chat.max_tokens
  if not questions:
    return
  url = judge.members[0].chat.url
  before = known - questions
  said = (
    f'{url} is to be asked {questions} questions'
    + f' ({known} with those answered before)' * (before > 0)
    + f': about {read:,} tokens to read, at most {written:,} to write'
  )
  if options.prices:
    cost = (read * options.prices[0] + written * options.prices[1]) / 1e6
    said += f', at most about {cost:,.2f}'
  print(said, file=sys.stderr)
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
      f'{judge.members[0].chat.url} is to be asked later, and nobody is here '
      'to say whether what it costs may be spent; --yes says that it may'
    )


def check_prices(prices: Sequence[float] | None) -> None:
  """Refuses prices that are none."""
  if prices and not all(0.0 <= price < math.inf for price in prices):
    raise errors.OptionError(
      '--prices must be two amounts of 0 or more, got '
      + ' and '.join(f'{price:g}' for price in prices)
    )


def _asks_first(judge, options) -> bool:
  """Whether it has to be agreed to that an endpoint is asked."""
  if not judge.hosted or options.yes:
    return False
  return bool(options.prices) or not _is_here(judge.members[0].chat.url)


def _is_here(url: str) -> bool:
  """Whether an endpoint is of this machine, and so of no price."""
  return urls.urlsplit(url).hostname in ('localhost', '127.0.0.1', '::1')
