"""What a conversation becomes: ids, in the parts that limits tell apart."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from rlhf_jax.data import tokens
from rlhf_jax.types import Prompt


class Turn(NamedTuple):
  """A turn as ids: its markers and its content."""

  before: list[int]
  content: list[int]
  after: list[int]

  @property
  def ids(self) -> list[int]:
    return self.before + self.content + self.after


class Parts(NamedTuple):
  """A prompt as ids, in the parts that truncation must tell apart.

  Attributes:
    head: what opens the conversation, the system's turn included.
    turns: the user's and the assistant's, oldest first.
    tail: what opens the response, the prompt's condition included.
    later: gives the parts of the conversation without so many of its oldest
      turns; None where they are the others, as they are.
  """

  head: list[int]
  turns: tuple[Turn, ...]
  tail: list[int]
  later: Callable[[int], 'Parts'] | None = None

  @property
  def ids(self) -> list[int]:
    return self.head + [i for turn in self.turns for i in turn.ids] + self.tail

  def without_oldest(self, count: int) -> 'Parts':
    """The parts of the conversation that begins so many turns later."""
    if self.later is not None:
      return self.later(count)
    return self._replace(turns=self.turns[count:])


class Format(Protocol):
  """What turns conversations into ids: a Template, or a ChatTemplate."""

  def render(self, prompt: Prompt, response: str = '') -> str:
    """The conversation as a person reads it, markers shown."""

  def encode_prompt(
    self, prompt: Prompt, tokenizer: tokens.Tokenizer
  ) -> list[int]:
    """Ids of the prompt, up to where the response begins."""

  def parts(self, prompt: Prompt, tokenizer: tokens.Tokenizer) -> Parts:
    """The same ids, in parts."""

  def encode_response(
    self, prompt: Prompt, response: str, tokenizer: tokens.Tokenizer
  ) -> list[int]:
    """Ids of what is answered to the prompt, without what closes it."""

  def end_id(self, tokenizer: tokens.Tokenizer) -> int:
    """The token that closes a response."""

  def stop_ids(self, tokenizer: tokens.Tokenizer) -> tuple[int, ...]:
    """The tokens that sampling stops at, the one that closes first."""


def stop_ids(tokenizer: tokens.Tokenizer, end_id: int) -> tuple[int, ...]:
  """What ends a turn, then every token that ends a text; each once."""
  ends = map(tokenizer.id_of, (tokenizer.eos, *tokenizer.stops))
  return tuple(dict.fromkeys((end_id, *ends)))
