"""A chat template in Jinja, followed to the letter.

A conversation is rendered whole and encoded whole: our ids are those that the
tokenizer gives for the text that the template renders. Only what the template
itself wrote becomes a mark; what people wrote is text, also where it spells
one.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator

from rlhf_jax.data import chat_jinja, parts, reading, tokens
from rlhf_jax.data.chat_jinja import TemplateError
from rlhf_jax.data.parts import Parts
from rlhf_jax.types import Message, Prompt, Response

ROLES = ('system', 'user', 'assistant')


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChatTemplate:
  """A conversation's ids as a chat template in Jinja has them.

  Attributes:
    jinja: the template.
    named: tokens that it may ask for, and what it calls them.
    end: the token that it closes an assistant's turn with; '' where it is the
      one that ends a text.
    date: what day it is told that it is, YYYY-MM-DD.
    begun: whether the tokenizer opens the text, as it does any text of its own;
      else the template does.
  """

  jinja: str
  named: tuple[tuple[str, str], ...] = ()
  end: str = ''
  date: str = chat_jinja.DATE
  begun: bool = False

  def render(self, prompt: Prompt, response: str = '') -> str:
    """The conversation as a person reads it, markers shown."""
    with _about(prompt):
      text = chat_jinja.render(
        self.jinja,
        _turns(prompt),
        opened=True,
        tokens=dict(self.named),
        date=self.date,
      )
    return text + prompt.condition + response

  def encode_prompt(
    self, prompt: Prompt, tokenizer: tokens.Tokenizer
  ) -> list[int]:
    """Ids of the prompt, up to where the response begins."""
    return self.parts(prompt, tokenizer).ids

  def parts(self, prompt: Prompt, tokenizer: tokens.Tokenizer) -> Parts:
    """The same ids, in parts."""
    read = self._read(prompt, tokenizer)
    turns, tail = read.turns(prompt.messages)
    said = prompt.condition
    condition = tokenizer.encode(said) if said else []
    return Parts(
      head=list(tokenizer.opening) if self.begun else [],
      turns=tuple(turns),
      tail=tail + condition,
      later=functools.partial(self._later, prompt, tokenizer),
    )

  def encode_response(
    self, prompt: Prompt, response: str, tokenizer: tokens.Tokenizer
  ) -> list[int]:
    """Ids of what is answered to the prompt, without what closes it.

    With what the template writes around the answer, up to what closes it. They
    go on from the prompt's: where the tokenizer would have made one piece of
    the prompt's end and the response's beginning, the response begins a piece
    of its own, as it does when it is sampled.
    """
    said = Response.of(response)
    asked = self._read(prompt, tokenizer)
    told = self._read(prompt, tokenizer, (Message('assistant', str(said)),))
    with _about(prompt):
      if not told.text.startswith(asked.text):
        raise TemplateError('it writes the prompt anew once it is answered')
      if not told.owners:
        raise TemplateError('it changes what the assistant says')
    begin = len(asked.text)
    _, end = told.span(len(prompt.messages)) or (begin, begin)
    spaces = said[len(said.rstrip()) :]
    end += len(spaces) if told.text.startswith(spaces, end) else 0
    _, stop = told.tokens_of(begin, end)
    if said.ended:
      stop = told.closed(self.end_id(tokenizer), end) or stop
    count = len(asked.ids)
    if told.ids[:count] == asked.ids:
      return told.ids[count:stop]
    return tokenizer.encode_after(told.text[begin : told.ends[stop - 1]])

  def end_id(self, tokenizer: tokens.Tokenizer) -> int:
    """The token that closes a response."""
    return tokenizer.id_of(self.end or tokenizer.eos)

  def stop_ids(self, tokenizer: tokens.Tokenizer) -> tuple[int, ...]:
    """The tokens that sampling stops at, the one that closes first."""
    return parts.stop_ids(tokenizer, self.end_id(tokenizer))

  def _read(
    self,
    prompt: Prompt,
    tokenizer: tokens.Tokenizer,
    answer: tuple[Message, ...] = (),
  ) -> reading.Reading:
    """The conversation, opened for a response or with one."""
    with _about(prompt):
      return reading.read(
        self.jinja,
        self.named,
        self.date,
        tokenizer,
        _turns(prompt) + answer,
        not answer,
      )

  def _later(
    self, prompt: Prompt, tokenizer: tokens.Tokenizer, count: int
  ) -> Parts:
    """The parts without so many of the oldest turns, or without one more.

    Many templates refuse a conversation that the assistant begins.
    """
    ruled = prompt.messages[0].role == 'system'
    rules, said = prompt.messages[:ruled], prompt.messages[ruled:]
    later = prompt._replace(messages=rules + said[count:])
    try:
      return self.parts(later, tokenizer)
    except TemplateError:
      if count + 1 >= len(said):
        raise
      return self._later(prompt, tokenizer, count + 1)


def _turns(prompt: Prompt) -> tuple[Message, ...]:
  for role, _ in prompt.messages:
    if role not in ROLES:
      raise TemplateError(
        f'a turn of role {role!r} is none of {", ".join(ROLES)}'
      )
  return tuple(prompt.messages)


@contextlib.contextmanager
def _about(prompt: Prompt) -> Iterator[None]:
  """Says which conversation it is that a template cannot take."""
  try:
    yield
  except TemplateError as error:
    raise TemplateError(
      f'{prompt.place}: the chat template cannot take this conversation '
      f'({error}); leave it out of the data, or use another template.'
    ) from error
