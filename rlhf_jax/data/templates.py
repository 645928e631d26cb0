"""How a conversation becomes ids: our markers around the contents of turns.

Contents are encoded one by one and markers put between them as ids, so that a
user who types '<|assistant|>' has typed text, and no more than that.
"""

import abc
import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from rlhf_jax.data import tokens
from rlhf_jax.data.chat_jinja import ChatTemplateError
from rlhf_jax.data.encodings import Encodings
from rlhf_jax.types import Prompt


class Turn(NamedTuple):
  """A turn as ids: its content, and the markers around it."""

  before: list[int]
  content: list[int]
  after: list[int]

  @property
  def ids(self) -> list[int]:
    return self.before + self.content + self.after


class PromptParts(NamedTuple):
  """A prompt as ids, in the parts that truncation must tell apart.

  Attributes:
    head: opens the conversation, the system's turn included.
    turns: the user's and the assistant's, oldest first.
    tail: opens the response, the prompt's condition included.
    later: count -> the parts of the conversation without its `count` oldest
      turns; None where these parts less the turns are the same.
  """

  head: list[int]
  turns: tuple[Turn, ...]
  tail: list[int]
  later: Callable[[int], 'PromptParts'] | None = None

  @property
  def ids(self) -> list[int]:
    return self.head + [i for turn in self.turns for i in turn.ids] + self.tail

  def without_oldest(self, count: int) -> 'PromptParts':
    """The parts of the conversation without its `count` oldest turns."""
    if self.later is not None:
      return self.later(count)
    return self._replace(turns=self.turns[count:])


# A prompt, and responses to it.
Asked = tuple[Prompt, Sequence[str]]


class EncodedConversation(Protocol):
  """A prompt and responses to it as ids; what is wrong with one is raised."""

  @property
  def prompt_ids(self) -> list[int]:
    """Ids of the prompt, up to where the response begins."""

  @property
  def parts(self) -> PromptParts:
    """The same, in parts."""

  def response_ids(self, response: str) -> list[int]:
    """Ids of one of the responses, without the token that closes it."""


class ChatFormat(abc.ABC):
  """How a conversation becomes ids: a MarkerTemplate, or a ChatTemplate."""

  @abc.abstractmethod
  def render(self, prompt: Prompt, response: str = '') -> str:
    """The conversation as text, markers included."""

  @abc.abstractmethod
  def encode_all(
    self, asked: Sequence[Asked], tokenizer: tokens.Tokenizer
  ) -> Sequence[EncodedConversation]:
    """Prompts and responses to them, their texts encoded together."""

  @abc.abstractmethod
  def end_id(self, tokenizer: tokens.Tokenizer) -> int:
    """The token that closes a response."""

  def parts(self, prompt: Prompt, tokenizer: tokens.Tokenizer) -> PromptParts:
    """Ids of the prompt, up to where the response begins."""
    (encoded,) = self.encode_all([(prompt, ())], tokenizer)
    return encoded.parts

  def encode_response(
    self, prompt: Prompt, response: str, tokenizer: tokens.Tokenizer
  ) -> list[int]:
    """Ids of a response to the prompt, without the token that closes it."""
    (encoded,) = self.encode_all([(prompt, (response,))], tokenizer)
    return encoded.response_ids(response)

  def stop_ids(self, tokenizer: tokens.Tokenizer) -> tuple[int, ...]:
    """The tokens that sampling stops at, each once, the closing one first."""
    ends = map(tokenizer.id_of, (tokenizer.eos, *tokenizer.stops))
    return tuple(dict.fromkeys((self.end_id(tokenizer), *ends)))


Markers = tuple[str, str]  # Before a turn's content, and after it.


@dataclasses.dataclass(frozen=True, kw_only=True)
class MarkerTemplate(ChatFormat):
  """Markers around the turns of a conversation, for vocabularies of ours.

  The chat template of a pretrained model's folder is `chat_templates.of`.

  Attributes:
    begin: opens a conversation that has no system turn.
    user: around the user's content.
    assistant: around the assistant's; the first marker opens the response.
    system: around the system's; None where a system turn is refused.
    special: names of the special tokens in the markers. A tokenizer without
      them is refused: it would encode them as text, which anyone can type.
  """

  begin: str = ''
  user: Markers = ('', '')
  assistant: Markers = ('', '')
  system: Markers | None = ('', '')
  special: tuple[str, ...] = ()

  def encode_all(
    self, asked: Sequence[Asked], tokenizer: tokens.Tokenizer
  ) -> list['EncodedTurns']:
    """Prompts and responses to them, their texts encoded together."""
    markers = (self.begin, *self.user, *self.assistant, *(self.system or ()))
    texts = list(map(tokenizer.marks.spell, markers))
    for prompt, responses in asked:
      texts += [content for _, content in prompt.messages]
      texts += [prompt.condition, *map(str, responses)]
    encodings = Encodings(tokenizer, texts)
    return [EncodedTurns(self, tokenizer, p, encodings) for p, _ in asked]

  def end_id(self, tokenizer: tokens.Tokenizer) -> int:
    """The token that closes a response."""
    return tokenizer.eos_id

  def render(self, prompt: Prompt, response: str = '') -> str:
    """The conversation as text, markers included."""
    begin = '' if _has_system(prompt) else self.begin
    turns = ''.join(map(''.join, self.pieces(prompt)))
    return begin + turns + self.assistant[0] + prompt.condition + response

  def pieces(self, prompt: Prompt) -> list[tuple[str, str, str]]:
    """(marker before, content, marker after) of every turn, as text."""
    markers = {
      'user': self.user,
      'assistant': self.assistant,
      'system': self.system,
    }
    pieces = []
    for role, content in prompt.messages:
      if markers.get(role) is None:
        raise ChatTemplateError(
          f'{prompt.place}: the template has no place for a turn of role '
          f'{role!r}.'
        )
      before, after = markers[role]
      pieces.append((before, content, after))
    return pieces

  @property
  def jinja(self) -> str:
    """The same as a chat template for a Hugging Face folder."""

    def turn(role: str, markers: Markers | None) -> str:
      if markers is None:
        return f"{{{{ raise_exception('no place for a {role} turn') }}}}"
      before, after = (json.dumps(m, ensure_ascii=False) for m in markers)
      return f"{{{{ {before} + message['content'] + {after} }}}}"

    begin = json.dumps(self.begin, ensure_ascii=False)
    opening = json.dumps(self.assistant[0], ensure_ascii=False)
    return (
      "{% if messages[0]['role'] != 'system' %}"
      f'{{{{ {begin} }}}}{{% endif %}}'
      '{% for message in messages %}'
      f"{{% if message['role'] == 'user' %}}{turn('user', self.user)}"
      f"{{% elif message['role'] == 'assistant' %}}"
      f'{turn("assistant", self.assistant)}'
      f'{{% else %}}{turn("system", self.system)}{{% endif %}}'
      '{% endfor %}'
      f'{{% if add_generation_prompt %}}{{{{ {opening} }}}}{{% endif %}}'
    )


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedTurns:
  """A prompt, and the responses to it that it was encoded with.

  Attributes:
    template: of the markers.
    tokenizer: of the ids.
    prompt: the prompt.
    encodings: of its contents and of the responses.
  """

  template: MarkerTemplate
  tokenizer: tokens.Tokenizer
  prompt: Prompt
  encodings: Encodings

  @property
  def prompt_ids(self) -> list[int]:
    """Ids of the prompt, up to where the response begins."""
    return self.parts.ids

  @property
  def parts(self) -> PromptParts:
    """The same, in parts."""
    template, tokenizer = self.template, self.tokenizer
    for name in template.special:
      if name not in tokenizer.special_ids:
        raise ChatTemplateError(
          f'the template marks turns by {name!r}, which is no special token '
          'of this tokenizer; take chat_templates.of(tokenizer) instead.'
        )
    turns = [
      Turn(self._marked(before), self.encodings[content], self._marked(after))
      for before, content, after in template.pieces(self.prompt)
    ]
    head = self._marked(template.begin)
    if _has_system(self.prompt):
      head = turns.pop(0).ids
    opening = list(tokenizer.opening)
    if head[: len(opening)] != opening:
      head = opening + head
    condition = self.encodings[self.prompt.condition]
    tail = self._marked(template.assistant[0]) + condition
    return PromptParts(head, tuple(turns), tail)

  def response_ids(self, response: str) -> list[int]:
    """Ids of a response, without the token that closes it."""
    return self.encodings[str(response)]

  def _marked(self, text: str) -> list[int]:
    return self.encodings[self.tokenizer.marks.spell(text)]


# Contents alone: for one-turn prompts of a vocabulary without roles.
PLAIN = MarkerTemplate()

# For tokenizers of ours: an earlier answer ends as a response does.
CHAT = MarkerTemplate(
  user=(tokens.USER, ''),
  assistant=(tokens.ASSISTANT, tokens.EOS),
  system=(tokens.SYSTEM, ''),
  special=(tokens.USER, tokens.ASSISTANT, tokens.SYSTEM, tokens.EOS),
)


def _has_system(prompt: Prompt) -> bool:
  return bool(prompt.messages) and prompt.messages[0].role == 'system'
