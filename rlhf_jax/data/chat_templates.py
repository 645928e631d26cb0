"""The chat template that a tokenizer comes with, followed to the letter.

A conversation is rendered whole and encoded whole: the ids are those that the
tokenizer gives for the text that the template renders. Only what the template
itself wrote becomes a special token; contents are text, also where they spell
one.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from rlhf_jax.data import chat_jinja, rendering, templates, tokens
from rlhf_jax.data.chat_jinja import ChatTemplateError
from rlhf_jax.data.reading import Reading
from rlhf_jax.data.templates import PromptParts
from rlhf_jax.data.tokenizer import flag_special
from rlhf_jax.types import Message, Prompt, Response


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChatTemplate(templates.ChatFormat):
  """A conversation's ids by a chat template in Jinja.

  Attributes:
    jinja: the template.
    named: (name, token) pairs that it may read, such as 'bos_token'.
    end: the token that closes an assistant's turn; '' for the tokenizer's
      end of text.
    date: today for the template, YYYY-MM-DD.
    begun: whether the tokenizer's own opening (BOS) comes first; else the
      template writes it.
  """

  jinja: str
  named: tuple[tuple[str, str], ...] = ()
  end: str = ''
  date: str = chat_jinja.DATE
  begun: bool = False

  def render(self, prompt: Prompt, response: str = '') -> str:
    """The conversation as text, markers included."""
    with _about(prompt):
      messages = rendering.checked(prompt.messages)
      text = self.source.render(messages, opened=True)
    return text + prompt.condition + response

  @property
  def source(self) -> chat_jinja.JinjaTemplate:
    """The template, with what it may read."""
    return chat_jinja.JinjaTemplate(self.jinja, self.named, self.date)

  def encode_all(
    self, asked: Sequence[templates.Asked], tokenizer: tokens.Tokenizer
  ) -> list['EncodedChat']:
    """Prompts and responses to them, their texts encoded together."""
    conversations = []
    for prompt, responses in asked:
      messages = prompt.messages
      conversations.append(rendering.Conversation(messages, opened=True))
      for said in responses:
        answered = *messages, Message('assistant', str(said))
        conversations.append(
          rendering.Conversation(answered, opened=False, asked=messages)
        )
    reader = rendering.Reader(self.source, tokenizer)
    readings = iter(reader.read_all(conversations))
    end_id = self.end_id(tokenizer)
    return [
      EncodedChat(
        self,
        tokenizer,
        end_id,
        prompt,
        next(readings),
        {str(said): next(readings) for said in responses},
      )
      for prompt, responses in asked
    ]

  def end_id(self, tokenizer: tokens.Tokenizer) -> int:
    """The token that closes a response."""
    return tokenizer.id_of(self.end or tokenizer.eos)


class EncodedChat(NamedTuple):
  """A prompt, and the responses to it that it was encoded with.

  Attributes:
    template: of its ids.
    tokenizer: likewise.
    end_id: closes a response.
    prompt: the prompt.
    asked: how it reads, or why it cannot be read.
    answered: likewise with each response.
  """

  template: ChatTemplate
  tokenizer: tokens.Tokenizer
  end_id: int
  prompt: Prompt
  asked: Reading | Exception
  answered: Mapping[str, Reading | Exception]

  @property
  def prompt_ids(self) -> list[int]:
    """Ids of the prompt, up to where the response begins."""
    return [*self._begun, *self._read(self.asked).ids, *self._condition]

  @property
  def parts(self) -> PromptParts:
    """The same, in parts."""
    turns, tail = self._read(self.asked).turns(self.prompt.messages)
    return PromptParts(
      head=self._begun,
      turns=tuple(turns),
      tail=tail + self._condition,
      later=self._later,
    )

  def response_ids(self, response: str) -> list[int]:
    """Ids of a response to the prompt, without the token that closes it.

    They include what the template writes around the response. Where the
    tokenizer would merge the prompt's end and the response's beginning into one
    token, the response begins with a token of its own, as when it is sampled.
    """
    said = Response.of(response)
    asked = self._read(self.asked)
    answered = self._read(self.answered[str(said)])
    with _about(self.prompt):
      if not answered.follows(asked):
        raise ChatTemplateError('it writes the prompt anew once it is answered')
      if not answered.found:
        raise ChatTemplateError('it changes what the assistant says')
    begin, count = asked.size(answered.first)
    _, end = answered.span(len(self.prompt.messages)) or (begin, begin)
    spaces = said[len(said.rstrip()) :]
    if spaces and answered.text.startswith(spaces, end):
      end += len(spaces)
    stop = None
    if said.ended:
      stop = answered.closed(self.end_id, end)
    if stop is None:
      letters, stop = answered.size()
      if end < letters:
        _, stop = answered.tokens_of(begin, end)
    following = answered.following(asked)
    if following is not None:
      return following[: stop - count]
    return self.tokenizer.encode_after(
      answered.text[begin : answered.end_of(stop - 1)]
    )

  @property
  def _begun(self) -> list[int]:
    return list(self.tokenizer.opening) if self.template.begun else []

  @property
  def _condition(self) -> list[int]:
    said = self.prompt.condition
    return self.tokenizer.encode(said) if said else []

  def _read(self, found: Reading | Exception) -> Reading:
    if isinstance(found, Exception):
      with _about(self.prompt):
        raise found
    return found

  def _later(self, count: int) -> PromptParts:
    """The parts without the `count` oldest turns, or more if it is refused.

    Many templates refuse a conversation that the assistant begins.
    """
    messages = self.prompt.messages
    ruled = messages[0].role == 'system'
    rules, said = messages[:ruled], messages[ruled:]
    later = self.prompt._replace(messages=rules + said[count:])
    try:
      return self.template.parts(later, self.tokenizer)
    except ChatTemplateError:
      if count + 1 >= len(said):
        raise
      return self._later(count + 1)


# For a pretrained model without roles: the speakers are named in words, and the
# whole is encoded as one text. So a user who types these words does forge a
# turn. Contents begin a line: after a space, a word would be cut into other
# tokens than the model has seen.
SPEAKERS = ChatTemplate(
  jinja=templates.MarkerTemplate(
    user=('\n\nHuman:\n', ''), assistant=('\n\nAssistant:\n', '')
  ).jinja,
  begun=True,
)

ASKED = Message('user', 'zebra-asked')
REPLIED = Message('assistant', 'zebra-replied')


def of(
  tokenizer: tokens.Tokenizer, *, date: str = chat_jinja.DATE
) -> templates.ChatFormat:
  """The template that a tokenizer comes with, or else SPEAKERS.

  Args:
    tokenizer: from a folder, or trained here.
    date: today for the template, YYYY-MM-DD.

  Raises:
    ChatTemplateError: its chat template fails, or does not open or write an
      assistant's turn so that a response could be learnt.
  """
  if not tokenizer.chat_template:
    return SPEAKERS
  ours = tokenizer.special_ids.keys() >= set(templates.CHAT.special)
  if ours and tokenizer.chat_template == templates.CHAT.jinja:
    return templates.CHAT  # The same ids in a fraction of the time.
  template = ChatTemplate(
    jinja=tokenizer.chat_template,
    named=tuple(sorted(tokenizer.named.items())),
    date=date,
  )

  reader = rendering.Reader(template.source, tokenizer)

  def read(*messages: Message, opened: bool) -> Reading:
    return reader.read(rendering.Conversation(messages, opened))

  try:
    asked, unopened = (read(ASKED, opened=opened) for opened in (True, False))
    answered = read(ASKED, REPLIED, opened=False)
    _check_answer(tokenizer, asked, unopened, answered)
  except (ChatTemplateError, tokens.VocabularyError) as error:
    raise ChatTemplateError(
      f'the chat template of this tokenizer cannot be read ({error}); give its '
      'folder another chat_template.jinja.'
    ) from error
  _, end = answered.span(1)
  closed = tokenizer.marks.found(answered.text[end:])[:1]
  # Some folders do not flag it, and it would be decoded as text.
  flag_special(tokenizer.backend, closed)
  return dataclasses.replace(template, end=''.join(closed))


def _check_answer(
  tokenizer: tokens.Tokenizer,
  asked: Reading,
  unopened: Reading,
  answered: Reading,
) -> None:
  """Refuses a template whose answers do not follow the opened prompt."""
  if answered.span(1) is None:
    raise ChatTemplateError('what the assistant says does not come out of it')
  if not answered.follows(asked):
    raise ChatTemplateError(
      "it opens the assistant's turn otherwise than it writes one"
    )
  before = answered.text[len(asked.text) : answered.span(1)[0]]
  if asked.text == unopened.text and before.strip():
    raise ChatTemplateError(
      f"it does not open the assistant's turn where add_generation_prompt asks "
      f'for it, and writes {tokenizer.marks.read(before)!r} before an answer'
    )


@contextlib.contextmanager
def _about(prompt: Prompt) -> Iterator[None]:
  """Names the conversation in a ChatTemplateError."""
  try:
    yield
  except ChatTemplateError as error:
    raise ChatTemplateError(
      f'{prompt.place}: the chat template cannot take this conversation '
      f'({error}); leave it out of the data, or use another template.'
    ) from error
