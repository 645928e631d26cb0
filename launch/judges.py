"""The judge that a command line names, and asking it."""

import functools
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from launch import errors, members, policies
from launch.members import Member
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
REPLIES = 'replies.jsonl'  # Of an endpoint, in the --out folder.
VERDICTS = 'asked.jsonl'  # Of any judge, likewise.
AT_ONCE = 64  # Pairs that a model which is read here is given together.

# Options that not every judge reads.
OF_CHAT = ('template', 'judge_temperature')
OF_ENDPOINT = (
  'model',
  'key_variable',
  'timeout',
  'retries',
  'concurrency',
  'per_minute',
  'prices',
)

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
  'a setting such as comparison_columns': '--columns',
}


class Named(NamedTuple):
  """A judge, and what is known of it beforehand.

  Attributes:
    name: as tables have it.
    members: who share the prompts; mostly one.
    url: of the endpoint, which may cost; '' of a judge without.
    flips: share of verdicts that are turned round.
  """

  name: str
  members: Sequence[Member]
  url: str = ''
  flips: float = 0.0

  @property
  def identity(self) -> str:
    """Changes when its verdicts might."""
    own = ' + '.join(member.identity for member in self.members)
    return f'{own} flips {self.flips}' if self.flips else own


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
  simulated_annotators.check_flips(options.flips)
  judge = _named(options, kept_in)
  if not options.flips:
    return judge
  return judge._replace(
    name=f'{judge.name}, {options.flips:.0%} turned round',
    flips=options.flips,
  )


def _named(options, kept_in) -> Named:
  if options.judge == 'longer':
    return _alone(options, judges.longer, 'the longer', 'longer')
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


def _alone(options, judge, name, identity) -> Named:
  """A judge that is no chat model."""
  _check_unread(options, OF_ENDPOINT, 'an endpoint')
  _check_unread(options, OF_CHAT, 'a chat model')
  return Named(name, [Member(judge, identity)])


def _of_reward(options) -> Named:
  reward = PretrainedReward(options.judge)
  reward.check()
  judge = judges.by_reward(judges.scored_once(reward))
  return _alone(options, judge, reward.name, reward.fingerprint())


def _check_unread(options, names, owner) -> None:
  reader = f'--judge {options.judge}'
  errors.check_unread(options.given, names, owner, reader)


def _of_chat_model(options) -> Named:
  _check_unread(options, OF_ENDPOINT, 'an endpoint')
  templates = _templates(options)
  for template in templates:
    if template.model is not None:
      raise errors.OptionError(
        f'{template.name} is for the model {template.model}, and --judge '
        f'{options.judge} is a folder, whose model alone is asked; leave the '
        "line out of the template's header, or give the URL of an endpoint"
      )
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
  known = fingerprint(options.judge, limits)

  @functools.cache
  def at(temperature):
    return FolderChat(policy, temperature=temperature)

  found = []
  for template in templates:
    temperature = _temperature(options, template)
    found.append(
      members.of_chat(at(temperature), template, f'{known} {temperature}')
    )
  return _pooled(found)


def _of_endpoint(options, kept_in) -> Named:
  templates = _templates(options)
  for template in templates:
    if not (template.model or options.model):
      raise errors.OptionError(
        '--model says which model the endpoint '
        f'{options.judge.split("@")[-1]} is to answer with, since the template '
        f'{template.name} names none'
      )
  _check_read(options, 'model', [template.model for template in templates])
  chat = endpoint.Chat(
    options.judge,
    options.model or templates[0].model,
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
  found = []
  for template in templates:
    one = template.chat_of(chat)
    known = f'{one.root} {one.model} {one.temperature}'
    found.append(members.of_chat(one, template, known))
  return _pooled(found)._replace(url=chat.url)


def _templates(options) -> list[Any]:
  found = [verdicts.load(name.strip()) for name in options.template.split(',')]
  temperatures = [template.temperature for template in found]
  _check_read(options, 'judge_temperature', temperatures)
  return found


def _check_read(options, name, given) -> None:
  """Refuses an option in whose place every template gives something else."""
  if name in options.given and None not in given:
    raise errors.OptionError(
      f'--{name.replace("_", "-")} is read by no template of --template, as '
      'each has one of its own; leave it out'
    )


def _temperature(options, template) -> float:
  """The temperature of a template, or else of the command line."""
  if template.temperature is None:
    return options.judge_temperature
  return template.temperature


def _pooled(found: Sequence[Member]) -> Named:
  """The judge of one template, or of several that share the prompts."""
  asked = [member.asking for member in found]
  whom = [_whom(one) for one in asked]
  names = [one.template.name for one in asked]
  if len(set(whom)) == 1:
    name = f'{whom[0]}, {" + ".join(names)}'
  else:
    name = ' + '.join(map(', '.join, zip(whom, names, strict=True)))
  return Named(name, found)


def _whom(asking) -> str:
  """The model that a template asks, and at which temperature if not at 0."""
  temperature = asking.chat.temperature
  if not temperature:
    return asking.chat.name
  return f'{asking.chat.name} at temperature {temperature:g}'


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
  return _alone(options, judge, options.judge, Code().digest(function))


def kept(judge: Named, folder: pathlib.Path) -> judges.Judge:
  """Asks a judge, whose verdicts are kept in a folder as they come.

  Each member's are kept apart, so that it is asked about its pairs as many
  together as it may be.
  """
  count = len(judge.members)

  def keep(number, member):
    what, at_a_time = 'judging', AT_ONCE
    if count > 1:
      what += f' by {member.asking.template.name}, {number} of {count}'
    if judge.url:
      at_a_time = 4 * member.asking.chat.concurrency
    return keeping(
      member.judge,
      folder / VERDICTS,
      member.identity,
      out=sys.stderr,
      # Of pairs asked about together none are left over but at the end.
      at_a_time=at_a_time * member.together,
      what=what,
    )

  asked = simulated_annotators.pool(
    [keep(*one) for one in enumerate(judge.members, 1)]
  )
  return simulated_annotators.with_flips(asked, flips=judge.flips)
