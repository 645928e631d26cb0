"""How a conversation becomes ids: our markers around contents, turn by turn.

Contents are encoded one by one and markers put between them as ids, so that a
user who types '<|assistant|>' has typed text, and no more than that.
"""

import dataclasses
import json

from rlhf_jax.data import parts, tokens
from rlhf_jax.data.chat_jinja import TemplateError
from rlhf_jax.data.jinja_template import ChatTemplate
from rlhf_jax.data.parts import Format, Parts, Turn
from rlhf_jax.types import Prompt

__all__ = [
  'CHAT',
  'ChatTemplate',
  'Format',
  'PLAIN',
  'Parts',
  'SPEAKERS',
  'Template',
  'TemplateError',
  'Turn',
]

Markers = tuple[str, str]  # Before a turn's content, and after it.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Template:
  """Markers around the turns of a conversation, for vocabularies of ours.

  It knows no more than markers: what a pretrained model's folder says of its
  conversations is followed by `chat_templates.of`.

  Attributes:
    begin: what opens a conversation that has no system turn.
    user: around what the user said.
    assistant: around what the assistant said; the first opens the response.
    system: around the system's words; None where a system turn is refused.
    special: names of the special tokens in the markers. A tokenizer without
      them is refused: it would read them as text, which anyone can type.
  """

  begin: str = ''
  user: Markers = ('', '')
  assistant: Markers = ('', '')
  system: Markers | None = ('', '')
  special: tuple[str, ...] = ()

  def encode_prompt(
    self, prompt: Prompt, tokenizer: tokens.Tokenizer
  ) -> list[int]:
    """Ids of the prompt, up to where the response begins."""
    return self.parts(prompt, tokenizer).ids

  def encode_response(
    self, prompt: Prompt, response: str, tokenizer: tokens.Tokenizer
  ) -> list[int]:
    """Ids of what is answered to the prompt, without what closes it."""
    del prompt
    return tokenizer.encode(response)

  def end_id(self, tokenizer: tokens.Tokenizer) -> int:
    """The token that closes a response."""
    return tokenizer.eos_id

  def stop_ids(self, tokenizer: tokens.Tokenizer) -> tuple[int, ...]:
    """The tokens that sampling stops at, the one that closes first."""
    return parts.stop_ids(tokenizer, self.end_id(tokenizer))

  def parts(self, prompt: Prompt, tokenizer: tokens.Tokenizer) -> Parts:
    """The same ids, in parts."""
    for name in self.special:
      if name not in tokenizer.special_ids:
        raise TemplateError(
          f'the template marks turns by {name!r}, which is no special token '
          'of this tokenizer; take chat_templates.of(tokenizer) instead.'
        )
    turns = [
      Turn(
        tokenizer.encode_markers(before),
        tokenizer.encode(content),
        tokenizer.encode_markers(after),
      )
      for before, content, after in self.pieces(prompt)
    ]
    head = tokenizer.encode_markers(self.begin)
    if _has_system(prompt):
      head = turns.pop(0).ids
    opening = list(tokenizer.opening)
    if head[: len(opening)] != opening:
      head = opening + head
    tail = tokenizer.encode_markers(self.assistant[0])
    if prompt.condition:
      tail = tail + tokenizer.encode(prompt.condition)
    return Parts(head, tuple(turns), tail)

  def render(self, prompt: Prompt, response: str = '') -> str:
    """The conversation as a person reads it, markers shown."""
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
        raise TemplateError(
          f'{prompt.place}: the template has no place for '
          f' a turn of role {role!r}.'
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


# Contents alone: for one-turn prompts of a vocabulary without roles.
PLAIN = Template()

# For tokenizers of ours: an earlier answer ends as a response does.
CHAT = Template(
  user=(tokens.USER, ''),
  assistant=(tokens.ASSISTANT, tokens.EOS),
  system=(tokens.SYSTEM, ''),
  special=(tokens.USER, tokens.ASSISTANT, tokens.SYSTEM, tokens.EOS),
)

# For a pretrained model without roles: speakers are named in words. These are
# text, so a user who types them does forge a turn, and the whole is encoded as
# one text. Contents begin a line: after a space, a word would be cut into other
# tokens than the model knows it by.
SPEAKERS = ChatTemplate(
  jinja=Template(
    user=('\n\nHuman:\n', ''), assistant=('\n\nAssistant:\n', '')
  ).jinja,
  begun=True,
)


def _has_system(prompt: Prompt) -> bool:
  return bool(prompt.messages) and prompt.messages[0].role == 'system'
