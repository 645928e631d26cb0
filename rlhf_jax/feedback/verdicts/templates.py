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
"""

import importlib.resources
import os
import pathlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from rlhf_jax.addressing import hashed
from rlhf_jax.feedback import untrusted
from rlhf_jax.types import Message, Prompt

ROOM = importlib.resources.files(__package__) / 'templates'
# What a place in braces is filled with, by the names that people give it.
FIELDS = {
  'instruction': 'prompt',
  'question': 'prompt',
  'prompt': 'prompt',
  'output_1': 'first',
  'answer_a': 'first',
  'output': 'first',
  'answer': 'first',
  'output_2': 'second',
  'answer_b': 'second',
  'reference': 'reference',
  'ref_answer_1': 'reference',
  'code': 'code',
}
NAMES = ('verdict', 'first', 'second', 'tie', 'rating', 'max_tokens', 'options')
NO_REFERENCE = '(There is no reference answer.)'
_MESSAGE = re.compile(
  r'<\|im_start\|>(system|user|assistant)\n(.*?)\n?<\|im_end\|>', re.DOTALL
)
_PLACE = re.compile(r'\{(\w+)\}')


class TemplateError(ValueError):
  """A template that cannot be used: a sentence with its file and line."""


class Template(NamedTuple):
  """A question to a judge, and how its replies are read.

  Attributes:
    name: of its file.
    messages: with places in braces.
    pattern: of what a reply says, with one group.
    credits: {regex of the group: credit of the first response}; empty where
      the group is the rating of a single response.
    max_tokens: of a reply.
    options: the two replies whose log-probs are compared, the first response's
      first; or ().
  """

  name: str
  messages: tuple[Message, ...]
  pattern: re.Pattern
  credits: Mapping[str, float]
  max_tokens: int = 256
  options: tuple[str, ...] = ()

  @property
  def rates(self) -> bool:
    """Whether it asks for a rating of one response, not about two."""
    return not self.credits

  @property
  def digest(self) -> str:
    """Changes when the wording, or the reading, does."""
    parts = self.messages, self.pattern.pattern, self.credits, self.max_tokens
    return hashed(repr((*parts, self.options)))[:16]

  def filled(
    self, prompt: Prompt, first: str, second: str = ''
  ) -> tuple[Message, ...]:
    """The conversation that asks about responses.

    What is judged loses the marks of chat templates.
    """
    given = {
      'prompt': prompt.text,
      'first': first,
      'second': second,
      'reference': prompt.answer or NO_REFERENCE,
    }
    given = {name: untrusted.without_marks(x) for name, x in given.items()}
    given['code'] = untrusted.code(*given.values())

    def fill(place):
      field = FIELDS.get(place[1])
      return place[0] if field is None else given[field]

    return tuple(
      Message(role, _PLACE.sub(fill, content))
      for role, content in self.messages
    )

  def read(self, reply: str) -> float | None:
    """The credit or the rating that a reply says; None where it says none.

    None, too, where it says two different ones.
    """
    said = {match[1].strip() for match in self.pattern.finditer(reply)}
    found = {self._number(text) for text in said}
    return found.pop() if len(found) == 1 else None

  def _number(self, text):
    if self.rates:
      try:
        return float(text)
      except ValueError:
        return None
    for regex, credit in self.credits.items():
      if re.fullmatch(regex, text):
        return credit
    return None


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
  given, body = _header(text, file)
  rating = 'rating' in given
  needed = ('rating',) if rating else ('verdict', 'first', 'second')
  for name in needed:
    if name not in given:
      raise TemplateError(
        f'{file}: its header has no {name}; it says how a reply is read: '
        'verdict: REGEX, first: A and second: B, or rating: REGEX'
      )
  messages = tuple(
    Message(role, content.strip('\n'))
    for role, content in _MESSAGE.findall(body)
  ) or (Message('user', body.strip('\n')),)
  _check_places(messages, rating, file)
  sides = {'first': 1.0, 'second': 0.0, 'tie': 0.5}
  options = tuple(given['options'][0].split()) if 'options' in given else ()
  if options and (len(options) != 2 or rating):
    raise TemplateError(
      f'{file}:{given["options"][1]}: options are two replies, that of the '
      f'first response and that of the second, not {len(options)}'
    )
  return Template(
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
    max_tokens=_whole(given, file),
    options=options,
  )


def _header(text, file):
  """{name: (value, line)} of the header, and the text below it."""
  lines = text.replace('\r\n', '\n').split('\n')
  if '---' not in lines:
    raise TemplateError(
      f'{file}: it has no line --- between a header, which says how a reply is '
      'read (verdict: REGEX, first: A, second: B), and what is asked'
    )
  end, given = lines.index('---'), {}
  for number, line in enumerate(lines[:end], 1):
    if not line.strip() or line.startswith('#'):
      continue
    name, colon, value = line.partition(':')
    if not colon or name not in NAMES or name in given:
      raise TemplateError(
        f'{file}:{number}: a line of the header is NAME: VALUE, each of '
        f'{", ".join(NAMES)} once; not {line[:60]!r}'
      )
    given[name] = value.strip(), number
  return given, '\n'.join(lines[end + 1 :])


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


def _whole(given, file):
  value, number = given.get('max_tokens', ('256', 0))
  if not re.fullmatch('[1-9][0-9]{0,6}', value):
    raise TemplateError(
      f'{file}:{number}: max_tokens is a whole number from 1, not {value!r}'
    )
  return int(value)


def _check_places(messages, rating, file):
  """Refuses a question that leaves out what it is about."""
  text = '\n'.join(content for _, content in messages)
  there = {FIELDS.get(name) for name in _PLACE.findall(text)}
  for field, example in (
    ('prompt', 'instruction'),
    ('first', 'output' if rating else 'output_1'),
    *(() if rating else (('second', 'output_2'),)),
  ):
    if field not in there:
      known = ', '.join(f'{{{n}}}' for n, f in FIELDS.items() if f == field)
      raise TemplateError(
        f'{file}: it has no place {{{example}}} (or {known}), so that the '
        'judge would not see what it judges'
      )
