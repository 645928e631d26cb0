"""The judge that a command line names, and what asking it costs."""

import argparse
import math
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib import parse as urls

from launch import errors

DEFAULT_TEMPLATE = 'pair_logprob_1'
MAX_PROMPT_TOKENS = 8192  # Of a question to a local judge.
RATING_TIE = 0.1  # Grades of 1 to 10 that differ by no more are equal.
LETTERS_A_TOKEN = 4  # Of English, about.
AT_ONCE = 64  # Pairs that a model which is read here is given together.


class Named(NamedTuple):
  """A judge, and what is known of it beforehand.

  Attributes:
    judge: an `evaluation.Judge`.
    name: as tables have it.
    identity: changes when its verdicts might.
    chat: the endpoint that it asks, or None.
    questions: pairs as columns -> what is asked about them in one order.
    options: replies whose log-probs are asked for.
  """

  judge: Callable[..., Any]
  name: str
  identity: str
  chat: Any = None
  questions: Callable[..., list[Any]] | None = None
  options: Sequence[str] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """What a judge is named by, and how an endpoint is asked."""
  parser.add_argument(
    '--judge',
    required=True,
    metavar='JUDGE',
    help="'longer'; a folder of transformers, of a reward model or of a chat "
    'model; the URL of an OpenAI-compatible endpoint, as '
    'http://localhost:8000/v1; or the import path of a function of (prompts, '
    'responses) or of (prompts, responses, others)',
  )
  parser.add_argument(
    '--template',
    default=DEFAULT_TEMPLATE,
    metavar='NAME_OR_FILE',
    help='what a chat model is asked (default: %(default)s); a file of your '
    'own is as rlhf_jax.feedback.verdicts.templates says',
  )
  parser.add_argument(
    '--order',
    choices=('both', 'strict', 'drawn'),
    default='both',
    help='both: asked in both orders, and averaged (default); strict: a win '
    'or loss is one in both; drawn: asked once, in an order drawn for the pair',
  )
  parser.add_argument('--model', help="the model's name at the endpoint")
  parser.add_argument(
    '--key-variable',
    metavar='NAME',
    help='the environment variable that holds the key of the endpoint',
  )
  parser.add_argument('--judge-temperature', type=float, default=0.0)
  parser.add_argument('--concurrency', type=int, default=8)
  parser.add_argument(
    '--per-minute', type=float, help='most requests in a minute'
  )
  parser.add_argument(
    '--prices',
    type=float,
    nargs=2,
    metavar=('IN', 'OUT'),
    help='of a million tokens read, and written, in any currency',
  )
  parser.add_argument(
    '--yes', action='store_true', help='do not ask before asking an endpoint'
  )


def named(options, kept_in: pathlib.Path) -> Named:
  """The judge of a command line.

  Args:
    options: of the command line.
    kept_in: a folder, for the replies of an endpoint.

  Raises:
    OptionError: it names none.
  """
  from rlhf_jax.evaluation import judges
  from rlhf_jax.models import huggingface

  errors.check_whole('--concurrency', options.concurrency, 1)
  if options.judge == 'longer':
    return Named(judges.longer, 'the longer', 'longer')
  if '://' in options.judge:
    return _of_endpoint(options, kept_in)
  if huggingface.is_folder(options.judge):
    scores = huggingface.open_folder(options.judge).scores
    return _of_chat_model(options) if scores is None else _of_reward(options)
  if pathlib.Path(options.judge).exists() or '.' not in options.judge:
    raise errors.OptionError(
      f"--judge {options.judge} is neither 'longer', a folder of "
      'transformers (with config.json and weights), the URL of an endpoint, '
      'nor the import path of a function'
    )
  return _of_program(options)


def _of_reward(options) -> Named:
  from rlhf_jax.evaluation import judges
  from rlhf_jax.experiment.pretrained import PretrainedReward

  reward = PretrainedReward(options.judge)
  reward.check()
  return Named(judges.by_reward(reward), reward.name, reward.fingerprint())


def _of_chat_model(options) -> Named:
  from rlhf_jax.data.limits import Limits
  from rlhf_jax.experiment.folder_policy import (
    FolderChat,
    FolderPolicy,
    fingerprint,
  )
  from rlhf_jax.feedback import verdicts

  template = verdicts.load(options.template)
  limits = Limits(
    max_prompt_tokens=MAX_PROMPT_TOKENS,
    max_response_tokens=template.max_tokens,
    buckets=tuple(2**n for n in range(7, 13)),
  )
  policy = FolderPolicy(options.judge, limits=limits, console=sys.stderr)
  chat = FolderChat(policy, temperature=options.judge_temperature)
  known = fingerprint(options.judge, limits)
  identity = f'{known} {options.judge_temperature}'
  judge = _asking(chat, template)
  return judge._replace(identity=f'{identity} {judge.identity}')


def _of_endpoint(options, kept_in) -> Named:
  from rlhf_jax.feedback import endpoint, verdicts

  if not options.model:
    raise errors.OptionError(
      f'--model says which model the endpoint {options.judge.split("@")[-1]} '
      'is to answer with'
    )
  template = verdicts.load(options.template)
  chat = endpoint.Chat(
    options.judge,
    options.model,
    key_variable=options.key_variable,
    temperature=options.judge_temperature,
    max_tokens=template.max_tokens,
    concurrency=options.concurrency,
    per_minute=options.per_minute,
    cache=kept_in / 'replies.jsonl',
  )
  chat.check()
  judge = _asking(chat, template)
  where = f'{chat.base_url} {chat.model} {chat.temperature}'
  return judge._replace(
    chat=chat,
    identity=f'{where} {judge.identity}',
    options=template.options,
  )


def _asking(chat, template) -> Named:
  """A chat model that is asked about two responses, or about each."""
  from rlhf_jax.evaluation import judges
  from rlhf_jax.feedback import verdicts

  if not template.rates:
    judge = verdicts.PairJudge(chat, template)
    return Named(judge, judge.name, template.digest, questions=judge.questions)
  rater = verdicts.Rater(chat, template)

  def questions(prompts, first, second):
    return [*rater.questions(prompts, first), *rater.questions(prompts, second)]

  judge = judges.by_reward(rater, tie=RATING_TIE)
  return Named(judge, rater.name, template.digest, questions=questions)


def _of_program(options) -> Named:
  from rlhf_jax.addressing import Code
  from rlhf_jax.evaluation import judges
  from rlhf_jax.experiment import parsing
  from rlhf_jax.types.calls import Called

  function = parsing.parse(options.judge, None, judges.Judge, '--judge')
  complaint = Called(3).complaint(function)
  if complaint is None:
    judge = function
  elif Called(2).complaint(function) is None:
    judge = judges.by_reward(function)
  else:
    raise errors.OptionError(
      f'--judge {complaint}; a judge takes (prompts, responses, others), and a '
      'reward (prompts, responses)'
    )
  return Named(judge, options.judge, Code().digest(function))


def agreed_to_cost(judge: Named, options, pairs: Sequence[Sequence[Any]]):
  """Says what an endpoint will be asked, and asks whether it may.

  Args:
    judge: whose endpoint it is; of another nothing is said.
    options: of the command line.
    pairs: columns of prompts, responses and others, as they will be shown.

  Raises:
    OptionError: it may not, or nobody is there to say.
  """
  if judge.chat is None:
    return
  asked = judge.questions(*pairs)
  waiting = judge.chat.unanswered(asked, options=judge.options)
  if not waiting:
    return
  letters = sum(len(m.content) for question in waiting for m in question)
  read = math.ceil(letters / LETTERS_A_TOKEN)
  written = len(waiting) * judge.chat.max_tokens
  said = (
    f'{judge.chat.url} is to be asked {len(waiting)} questions ({len(asked)} '
    f'with those answered before): about {read:,} tokens to read, at most '
    f'{written:,} to write'
  )
  if options.prices:
    cost = (read * options.prices[0] + written * options.prices[1]) / 1e6
    said += f', at most about {cost:,.2f}'
  print(said, file=sys.stderr)
  if options.yes or (_is_here(judge.chat.base_url) and not options.prices):
    return
  if not sys.stdin.isatty():
    raise errors.OptionError(
      'nobody is here to say whether that may be spent; --yes says that it may'
    )
  print('go on? [y/N] ', end='', file=sys.stderr, flush=True)
  if input().strip().lower() not in ('y', 'yes'):
    raise errors.OptionError('nothing was asked')


def _is_here(url: str) -> bool:
  """Whether an endpoint is of this machine, and so of no price."""
  return urls.urlsplit(url).hostname in ('localhost', '127.0.0.1', '::1')


def kept(judge: Named, folder: pathlib.Path) -> Named:
  """The same judge, whose verdicts are kept in a folder as they come."""
  from rlhf_jax.evaluation.kept_verdicts import kept as keeping

  at_a_time = AT_ONCE if judge.chat is None else 4 * judge.chat.concurrency
  asked = keeping(
    judge.judge,
    folder / 'asked.jsonl',
    judge.identity,
    out=sys.stderr,
    at_a_time=at_a_time,
  )
  return judge._replace(judge=asked)
