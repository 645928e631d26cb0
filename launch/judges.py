"""The judge that a command line names, and what asking it costs."""

import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from launch import errors, policies
from rlhf_jax.addressing import Code
from rlhf_jax.data.limits import Limits
from rlhf_jax.evaluation import judges, simulated_annotators
from rlhf_jax.evaluation.kept_verdicts import kept as keeping
from rlhf_jax.experiment import parsing
from rlhf_jax.experiment.folder_policy import (
  FolderChat,
  FolderPolicy,
  fingerprint,
)
from rlhf_jax.experiment.pretrained import PretrainedReward
from rlhf_jax.feedback import endpoint, verdicts
from rlhf_jax.models import huggingface
from rlhf_jax.types.calls import Called

MAX_PROMPT_TOKENS = 8192  # Of a question to a local judge.
RATING_TIE = 0.1  # Grades of 1 to 10 that differ by no more are equal.
REPLIES = 'replies.jsonl'  # Of an endpoint, in the --out folder.
AT_ONCE = 64  # Pairs that a model which is read here is given together.

# What settings of a chat are called on the command line, in sentences.
OPTIONS = {
  'base_url': '--judge',
  'key_variable': '--key-variable',
  'temperature must': '--judge-temperature must',
  'timeout must': '--timeout must',
  'retries must': '--retries must',
  'per_minute': '--per-minute',
  'max_prompt_tokens, or set overlong to limits.drop': '--max-prompt-tokens',
  'flips must': '--flips must',
}


class Named(NamedTuple):
  """A judge, and what is known of it beforehand.

  Attributes:
    judge: an `evaluation.Judge`.
    name: as tables have it.
    identity: changes when its verdicts might.
    members: the templates by which a chat model is asked, each a share of the
      prompts; none of another judge.
    hosted: whether it is behind an endpoint, which may cost.
  """

  judge: Callable[..., Any]
  name: str
  identity: str
  members: Sequence['Member'] = ()
  hosted: bool = False


class Member(NamedTuple):
  """A chat model that is asked by one template.

  Attributes:
    judge: an `evaluation.Judge`.
    chat: the model.
    template: of the questions.
    questions: (prompts, responses, others) -> what it is asked of them, as they
      are shown.
    verdict_questions: likewise, those of them that verdicts or ratings reply
      to, each with the prompts that it is about.
    read: (an answer, how many prompts it is about) -> as many verdicts, or
      ratings, that it holds; NaN for none.
  """

  judge: Callable[..., Any]
  chat: Any
  template: Any
  questions: Callable[..., list[Any]]
  verdict_questions: Callable[..., list[Any]]
  read: Callable[..., Any]


def named(options, kept_in: pathlib.Path) -> Named:
  """The judge of a command line.

  Args:
    options: of the command line.
    kept_in: a folder, for the replies of an endpoint.

  Raises:
    OptionError: it names none.
    ValueError: an endpoint cannot be asked so, or its key is not there.
  """
  errors.check_whole('--concurrency', options.concurrency, 1)
  judge = _named(options, kept_in)
  if not options.flips:
    return judge
  return judge._replace(
    judge=simulated_annotators.with_flips(judge.judge, flips=options.flips),
    name=f'{judge.name}, {options.flips:.0%} turned round',
    identity=f'{judge.identity} flips {options.flips}',
  )


def _named(options, kept_in) -> Named:
  if options.judge == 'longer':
    return Named(judges.longer, 'the longer', 'longer')
  if '://' in options.judge:
    return _of_endpoint(options, kept_in)
  if policies.of_run(pathlib.Path(options.judge)):
    raise errors.OptionError(
      f'--judge {options.judge} is a run or a stage of one; what a stage '
      'trained becomes a judge by python -m launch.export_weights '
      'RUN/stages/STAGE DIR --original MODEL, and --judge DIR'
    )
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
  reward = PretrainedReward(options.judge)
  reward.check()
  judge = judges.by_reward(judges.scored_once(reward))
  return Named(judge, reward.name, reward.fingerprint())


def _of_chat_model(options) -> Named:
  templates = _templates(options)
  reply = max(template.max_tokens for template in templates)
  most, bound = MAX_PROMPT_TOKENS, huggingface.longest(options.judge)
  if bound is not None:
    if bound <= reply:
      raise errors.OptionError(
        f'--judge {options.judge} reads {bound} tokens, and a reply by '
        f'--template {options.template} may take {reply}: nothing is left of '
        'them for a question'
      )
    most = min(most, bound - reply)
  limits = Limits(
    max_prompt_tokens=most,
    max_response_tokens=reply,
    buckets=tuple(2**n for n in range(7, 13)),
  )
  policy = FolderPolicy(options.judge, limits=limits, console=sys.stderr)
  chat = FolderChat(policy, temperature=options.judge_temperature)
  known = f'{fingerprint(options.judge, limits)} {options.judge_temperature}'
  return _pooled([_asking(chat, template) for template in templates], known)


def _of_endpoint(options, kept_in) -> Named:
  if not options.model:
    raise errors.OptionError(
      f'--model says which model the endpoint {options.judge.split("@")[-1]} '
      'is to answer with'
    )
  chat = endpoint.Chat(
    options.judge,
    options.model,
    key_variable=options.key_variable,
    temperature=options.judge_temperature,
    timeout=options.timeout,
    retries=options.retries,
    concurrency=options.concurrency,
    per_minute=options.per_minute,
    cache=kept_in / REPLIES,
  )
  chat.check()
  chat.check_key()
  members = [
    _asking(chat.replying(template.max_tokens), template)
    for template in _templates(options)
  ]
  known = f'{chat.root} {chat.model} {chat.temperature}'
  return _pooled(members, known)._replace(hosted=True)


def _templates(options) -> list[Any]:
  """Those of a command line.

  Raises:
    OptionError: one asks about several pairs together, and would be given other
      ones than are foreseen.
  """
  found = [verdicts.load(name.strip()) for name in options.template.split(',')]
  for template in found:
    if template.together > 1 and (len(found) > 1 or options.flips):
      raise errors.OptionError(
        f'{template.name} asks about {template.together} pairs together, which '
        'no pool of templates can, nor one with --flips; give it alone'
      )
  return found


def _asking(chat, template) -> Member:
  """A chat model that is asked about two responses, or about each."""
  if not template.rates:
    judge = verdicts.PairJudge(chat, template)
    return Member(
      judge,
      chat,
      template,
      judge.questions,
      judge.verdict_questions,
      judge.read,
    )
  rater = verdicts.Rater(chat, template)

  def on_each(questions):
    return lambda prompts, first, second: [
      *questions(prompts, first),
      *questions(prompts, second),
    ]

  judge = judges.by_reward(rater, tie=RATING_TIE)
  return Member(
    judge,
    chat,
    template,
    on_each(rater.questions),
    on_each(rater.verdict_questions),
    rater.read,
  )


def _pooled(members, known) -> Named:
  """The judge of one template, or of several that share the prompts."""
  name = ' + '.join(m.template.name for m in members)
  return Named(
    members[0].judge
    if len(members) == 1
    else simulated_annotators.pool([m.judge for m in members]),
    f'{members[0].chat.name}, {name}',
    ' '.join([known, *(m.template.digest for m in members)]),
    members,
  )


def shared(
  judge: Named, asked: Sequence[Sequence[Sequence[Any]]]
) -> Iterator[tuple['Member', list[list[list[Any]]]]]:
  """Each template's member of a judge, and the pairs that it is asked about.

  A pair that was there before, in an order of its own or another's, is left
  out: its verdict is `kept`.

  Args:
    judge: of a chat model; another one has no members.
    asked: of each order, columns of prompts, responses and others, as they are
      shown.
  """
  count, asked = len(judge.members), _each_once(asked)
  places = [
    simulated_annotators.shared_out(count, columns[0]) if count else []
    for columns in asked
  ]
  for number, member in enumerate(judge.members):
    yield (
      member,
      [
        [
          [x for x, place in zip(column, where, strict=True) if place == number]
          for column in columns
        ]
        for columns, where in zip(asked, places, strict=True)
      ],
    )


def _each_once(asked):
  """Orders as of `shared`, without the pairs that are there again."""
  seen, found = set(), []
  for columns in asked:
    rows = []
    for row in zip(*columns, strict=True):
      prompt, first, second = row
      pair = prompt.messages, prompt.answer, first, second
      if pair not in seen:
        rows.append(row)
        seen.add(pair)
    found.append([[row[i] for row in rows] for i in range(3)])
  return found


def _of_program(options) -> Named:
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


def kept(judge: Named, folder: pathlib.Path) -> Named:
  """The same judge, whose verdicts are kept in a folder as they come."""
  at_a_time = AT_ONCE
  if judge.hosted:
    at_a_time = 4 * judge.members[0].chat.concurrency
  # Of pairs that are asked about together none are left over but at the end.
  at_a_time *= max((m.template.together for m in judge.members), default=1)
  asked = keeping(
    judge.judge,
    folder / 'asked.jsonl',
    judge.identity,
    out=sys.stderr,
    at_a_time=at_a_time,
  )
  return judge._replace(judge=asked)
