"""A question to a judge about responses, and how its reply is read."""

import re
import types
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rlhf_jax.addressing import hashed
from rlhf_jax.feedback import untrusted
from rlhf_jax.feedback.endpoint import Chat
from rlhf_jax.feedback.verdicts import places
from rlhf_jax.types import Message, Prompt

NOTHING: Mapping = types.MappingProxyType({})
NUMBER = '{number}'  # Of a pair among those that are asked about together.
EACH = re.compile(r'<\|each\|>\n(.*?)<\|end\|>\n?', re.DOTALL)


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
    before: {name: messages} of what is asked before; the replies fill the
      places of these names.
    together: how many pairs are asked about at once. Where it is not 1, what
      stands in EACH is there for each of them, and NUMBER in `pattern`.
    model: the name of the model that it is meant for, at an endpoint; None for
      any.
    temperature: that a reply is sampled at; None where it says none.
  """

  name: str
  messages: tuple[Message, ...]
  pattern: re.Pattern
  credits: Mapping[str, float]
  max_tokens: int = 256
  options: tuple[str, ...] = ()
  before: Mapping[str, tuple[Message, ...]] = NOTHING
  together: int = 1
  model: str | None = None
  temperature: float | None = None

  @property
  def rates(self) -> bool:
    """Whether it asks for a rating of one response, not about two."""
    return not self.credits

  @property
  def digest(self) -> str:
    """Changes when the wording, or the reading, does."""
    parts = self.messages, self.pattern.pattern, self.credits, self.max_tokens
    rest = [dict(self.before)] * bool(self.before)
    rest += [self.together] * (self.together > 1)
    return hashed(repr((*parts, self.options, *rest)))[:16]

  def chat_of(self, chat: Chat) -> Chat:
    """The model behind the same endpoint that the template is to ask.

    Its name and its temperature are the chat's where the template says none.
    """
    model = chat.model if self.model is None else self.model
    temperature = self.temperature
    if temperature is None:
      temperature = chat.temperature
    return chat.by(model, temperature).replying(self.max_tokens)

  def filled(
    self,
    prompt: Prompt,
    first: str,
    second: str = '',
    *,
    said: Mapping[str, str] = NOTHING,
    name: str | None = None,
  ) -> tuple[Message, ...]:
    """A conversation that asks about responses to a prompt.

    What is judged loses the marks of chat templates, as do earlier replies.

    Args:
      prompt: that was asked.
      first, second: the responses; one that is rated is alone.
      said: replies to what was asked before, by name.
      name: of `before`, what is asked now; None for the verdict.

    Raises:
      TemplateError: turns are asked about, and there are not two.
    """
    messages = self.messages if name is None else self.before[name]
    given = self._given(messages, prompt, first, second)
    said = _without_marks(said)
    judged = _judged(given)
    if name is not None:  # One question for all pairs that it does not show.
      shown = places.fields(places.names(messages))
      judged = [given[field] for field in sorted(shown & given.keys())]
    given['code'] = untrusted.code(*judged, *said.values())
    return tuple(
      Message(role, places.filled(content, given, said))
      for role, content in messages
    )

  def filled_together(
    self, rows: Sequence[tuple[Prompt, str, str]]
  ) -> tuple[Message, ...]:
    """A conversation that asks about several prompts and pairs at once.

    Raises:
      TemplateError: as of `filled`.
    """
    given = [self._given(self.messages, *row) for row in rows]
    code = {'code': untrusted.code(*(x for g in given for x in _judged(g)))}

    def fill(content):
      for i, part in enumerate(EACH.split(content)):
        if i % 2 == 0:
          yield places.filled(part, code, NOTHING)
          continue
        for number, one in enumerate(given, 1):
          numbered = part.replace(NUMBER, str(number))
          yield places.filled(numbered, one | code, NOTHING)

    return tuple(
      Message(role, ''.join(fill(content))) for role, content in self.messages
    )

  def read(self, reply: str, number: int | None = None) -> float | None:
    """The credit or the rating that a reply says; None where it says none.

    None, too, where it says two different ones.

    Args:
      reply: of the judge.
      number: of the pair, from 1, where it was asked about several together.
    """
    pattern = self.pattern
    if number is not None:
      numbered = pattern.pattern.replace(NUMBER, str(number))
      pattern = re.compile(numbered, pattern.flags)
    said = {match[1].strip() for match in pattern.finditer(reply)}
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

  def _given(self, messages, prompt, first, second):
    """Texts by FIELDS, those of turns where there are places of turns."""
    given = places.texts(prompt, first, second)
    if places.fields(places.names(messages)) & {*places.TURNS}:
      responses = (first,) if self.rates else (first, second)
      found = places.of_turns(prompt, responses)
      if found is None:
        raise TemplateError(
          f'{self.name} asks about a conversation of two turns, and '
          f'{prompt.place} is none'
        )
      given |= found
    return _without_marks(given)


def _judged(given):
  """What the lines around texts must not be forged by."""
  return [given[name] for name in ('prompt', 'first', 'second', 'reference')]


def _without_marks(texts):
  return {name: untrusted.without_marks(x) for name, x in texts.items()}
