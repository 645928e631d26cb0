"""Templates of questions to a judge: files of a header and of messages.

    verdict: \\[\\[(A|B|C)\\]\\]   how a reply says it: a regex with one group,
    first: A                  and what the group is where the first wins,
    second: B                 the second,
    tie: C                    or neither (may be left out)
    max_tokens: 8             of a reply
    options: A B              whose log-probs are compared, if there are any
    model: NAME               that is asked, at an endpoint (may be left out),
    temperature: 1.0          and how its replies are sampled (likewise)
    ---
    <|im_start|>system
    …
    <|im_end|>
    <|im_start|>user
    … {instruction} … {output_1} … {output_2} …
    <|im_end|>

Without marks of messages all is the user's. In place of `verdict`, `first` and
`second` a template may have `rating`, a regex whose group is a number that one
response, {output}, gets. A line of the header that begins with # is a comment.

Of a conversation of two turns the places are {question_1}, {answer_a_1},
{answer_b_1}, {question_2}, {answer_a_2} and {answer_b_2}; or {answer_1} and
{answer_2} of the one that is rated.

A judge may be asked before its verdict. Below a line `--- criteria` stands what
it is asked then, and {criteria} is its reply in what follows. There may be
several; last comes the line `---`, and what its verdict is asked by.

With `together: 4` it is asked about so many pairs at once. What is between the
lines <|each|> and <|end|> is there for each, with its {number}, by which the
regex of the verdict finds the pair's: ^{number}: (A|B)$. All places but {code}
are there.

Several templates are a pool of annotators, as AlpacaFarm's, who differ in
`model`, `temperature`, wording and `together`: each asks about its own share of
the prompts, so many together as it says.
"""

import importlib.resources
import math
import os
import pathlib
import re

from rlhf_jax.feedback.verdicts import checks, places
from rlhf_jax.feedback.verdicts.template import (
  NUMBER,
  Template,
  TemplateError,
)
from rlhf_jax.types import Message

ROOM = importlib.resources.files(__package__) / 'templates'
NAMES = (
  'verdict',
  'first',
  'second',
  'tie',
  'rating',
  'max_tokens',
  'options',
  'together',
  'model',
  'temperature',
)
_MESSAGE = re.compile(
  r'<\|im_start\|>(system|user|assistant)\n(.*?)\n?<\|im_end\|>', re.DOTALL
)
_MARK = re.compile(r'---(?: (\w+))?')


def names() -> list[str]:
  """The templates that come with the library."""
  return sorted(p.name.removesuffix('.txt') for p in ROOM.iterdir())


def load(name: str | os.PathLike) -> Template:
  """The template of a file or, where there is none, of the library.

  Raises:
    TemplateError: there is no such template, or it cannot be used.
  """
  path = pathlib.Path(name)
  own = ROOM / f'{name}.txt'
  if path.name == str(name) and not path.exists() and own.is_file():
    return parsed(own.read_text(encoding='utf-8'), str(name))
  if not path.is_file():
    raise TemplateError(
      f'there is no template {name}: give a file, or one of '
      f'{", ".join(names())}'
    )
  try:
    text = path.read_text(encoding='utf-8')
  except (OSError, UnicodeDecodeError) as error:
    reason = getattr(error, 'strerror', None) or 'it is not UTF-8'
    raise TemplateError(f'{path}: {reason}') from error
  return parsed(text, path.name)


def parsed(text: str, file: str) -> Template:
  """The template that the text of a file holds.

  Raises:
    TemplateError: it cannot be used.
  """
  lines, before, messages = _parts(text, file)
  given = _header(lines, file)
  rating = 'rating' in given
  needed = ('rating',) if rating else ('verdict', 'first', 'second')
  for name in needed:
    if name not in given:
      raise TemplateError(
        f'{file}: its header has no {name}; it says how a reply is read: '
        'verdict: REGEX, first: A and second: B, or rating: REGEX'
      )
  options = tuple(given['options'][0].split()) if 'options' in given else ()
  if options and (len(options) != 2 or rating):
    raise TemplateError(
      f'{file}:{given["options"][1]}: options are two replies, that of the '
      f'first response and that of the second, not {len(options)}'
    )
  sides = {'first': 1.0, 'second': 0.0, 'tie': 0.5}
  template = Template(
    name=file.removesuffix('.txt'),
    messages=messages,
    pattern=_regex(given, needed[0], file),
    credits={}
    if rating
    else {
      _regex(given, name, file, groups=None).pattern: credit
      for name, credit in sides.items()
      if name in given
    },
    max_tokens=_whole(given, 'max_tokens', 256, file),
    options=options,
    before=before,
    together=_whole(given, 'together', 1, file),
    model=_model(given, file),
    temperature=_temperature(given, file),
  )
  checks.check(template, file)
  return template


def _parts(text, file):
  """Lines of the header, {name: messages} asked before, and the messages."""
  lines = text.replace('\r\n', '\n').split('\n')
  if '---' not in lines:
    raise TemplateError(
      f'{file}: it has no line --- between a header, which says how a reply is '
      'read (verdict: REGEX, first: A, second: B), and what is asked'
    )
  last = lines.index('---')
  marks = [i for i in range(last + 1) if _MARK.fullmatch(lines[i])]
  before = {}
  for begin, end in zip(marks, marks[1:], strict=False):
    name = lines[begin].removeprefix('--- ')
    if name in before or name in places.FIELDS or f'{{{name}}}' == NUMBER:
      raise TemplateError(
        f'{file}:{begin + 1}: the place {{{name}}} is taken; give what is '
        'asked here another name'
      )
    before[name] = _messages(lines[begin + 1 : end])
  return lines[: marks[0]], before, _messages(lines[last + 1 :])


def _messages(lines):
  text = '\n'.join(lines)
  return tuple(
    Message(role, content.strip('\n'))
    for role, content in _MESSAGE.findall(text)
  ) or (Message('user', text.strip('\n')),)


def _header(lines, file):
  """{name: (value, line)} of the header's lines."""
  given = {}
  for number, line in enumerate(lines, 1):
    if not line.strip() or line.startswith('#'):
      continue
    name, colon, value = line.partition(':')
    if not colon or name not in NAMES or name in given:
      raise TemplateError(
        f'{file}:{number}: a line of the header is NAME: VALUE, each of '
        f'{", ".join(NAMES)} once; not {line[:60]!r}'
      )
    given[name] = value.strip(), number
  return given


def _regex(given, name, file, groups=1):
  value, number = given[name]
  try:
    pattern = re.compile(value, re.MULTILINE)
  except re.error as error:
    raise TemplateError(
      f'{file}:{number}: {name} is no regex: {error}'
    ) from error
  if groups is not None and pattern.groups != groups:
    raise TemplateError(
      f'{file}:{number}: {name} has {pattern.groups} groups, and what a reply '
      'says is read from one; (?:…) makes no group'
    )
  return pattern


def _whole(given, name, default, file):
  value, number = given.get(name, (str(default), 0))
  if not re.fullmatch('[1-9][0-9]{0,6}', value):
    raise TemplateError(
      f'{file}:{number}: {name} is a whole number from 1, not {value!r}'
    )
  return int(value)


def _model(given, file):
  value, number = given.get('model', (None, 0))
  if value == '':
    raise TemplateError(
      f"{file}:{number}: model is the model's name at the endpoint; leave the "
      'line out where any may be asked'
    )
  return value


def _temperature(given, file):
  if 'temperature' not in given:
    return None
  value, number = given['temperature']
  try:
    temperature = float(value)
  except ValueError:
    temperature = math.nan
  if not 0.0 <= temperature < math.inf:
    raise TemplateError(
      f'{file}:{number}: temperature is a number of 0 or more, not {value!r}'
    )
  return temperature
