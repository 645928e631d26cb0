"""Templates of questions to a judge: files of a header and of messages.

    verdict: \\[\\[(A|B|C)\\]\\]   how a reply says it: a regex with one group,
    first: A                  and what the group is where the first wins,
    second: B                 the second,
    tie: C                    or neither (may be left out)
    max_tokens: 8             of a reply
    options: A B              whose log-probs are compared, if there are any
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
"""

import importlib.resources
import os
import pathlib
import re

from rlhf_jax.feedback.verdicts import places
from rlhf_jax.feedback.verdicts.template import (
  EACH,
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
  )
  _check_together(template, file)
  _check_places(template, file)
  _check_before(template, file)
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


def _check_places(template, file):
  """Refuses a question that leaves out what it is about."""
  messages = template.messages
  if template.together > 1:  # Others have none, as `_check_together` sees to.
    messages = [
      Message(m.role, '\n'.join(EACH.findall(m.content))) for m in messages
    ]
  there = places.fields(places.names(messages))
  turns = there & {*places.TURNS}
  for field in places.TURNS if turns else ('prompt', 'first', 'second'):
    if field in there or (template.rates and field.startswith('second')):
      continue
    known = [name for name, of in places.FIELDS.items() if of == field]
    alone = [name for name in known if name in places.ALONE]
    example = (alone if template.rates and alone else known)[0]
    listed = ', '.join(f'{{{name}}}' for name in known)
    raise TemplateError(
      f'{file}: it has no place {{{example}}} (or {listed}), so that the '
      'judge would not see what it judges'
    )


def _check_before(template, file):
  """Refuses replies that nobody reads, and log-probs of several replies."""
  asked = [*template.before.values(), template.messages]
  for i, name in enumerate(template.before, 1):
    if not any(name in places.names(messages) for messages in asked[i:]):
      raise TemplateError(
        f'{file}: nothing below --- {name} has the place {{{name}}}, so that '
        'its reply would be read by nobody'
      )
  if template.before and template.options:
    raise TemplateError(
      f'{file}: options are of a template that asks once; leave them out, or '
      'what is asked before'
    )


def _check_together(template, file):
  """Refuses pairs that are asked about together and cannot be told apart."""
  if template.together == 1:
    return
  parts = [p for m in template.messages for p in EACH.findall(m.content)]
  if not parts or NUMBER not in parts[0]:
    raise TemplateError(
      f'{file}: it asks about {template.together} pairs together, and has no '
      'lines <|each|> and <|end|> around what is there for each, its {number} '
      'among it'
    )
  if NUMBER not in template.pattern.pattern:
    raise TemplateError(
      f'{file}: its verdict has no {{number}}, by which a pair among '
      f'{template.together} is told; as in verdict: ^{{number}}: (A|B)$'
    )
  around = [Message(m.role, EACH.sub('', m.content)) for m in template.messages]
  for name in places.names(around):
    if places.FIELDS.get(name, 'code') != 'code':
      raise TemplateError(
        f'{file}: {{{name}}} is outside the lines <|each|> and <|end|>, where '
        'it is of no pair; move it between them'
      )
  if template.before or template.options or template.rates:
    raise TemplateError(
      f'{file}: together is of verdicts on pairs that are asked for once, '
      'without options'
    )
