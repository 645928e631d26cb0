"""What is said: prompts, responses, and how they compare, as text."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Message(NamedTuple):
  """A turn of a conversation."""

  role: str  # 'user', 'assistant' or 'system'.
  content: str


class Prompt(NamedTuple):
  """What a policy is asked: turns, the last one the user's.

  Attributes:
    messages: the turns, oldest first.
    kind: what results are broken down by, or ''.
    where: file and line it came from, for messages to people, or ''.
    condition: what the response is conditioned on beside the conversation (a
      reward, attributes), or ''. The policy reads it right before its response;
      judges do not see it.
    answer: what a program checks responses against, or ''. No model sees it.
  """

  messages: tuple[Message, ...]
  kind: str = ''
  where: str = ''
  condition: str = ''
  answer: str = ''

  @property
  def text(self) -> str:
    """The prompt as a person reads it: the user's words, or all turns."""
    if len(self.messages) == 1:
      return self.messages[0].content
    return '\n'.join(f'{m.role}: {m.content}' for m in self.messages)

  @property
  def place(self) -> str:
    """Where it came from, or else how it begins: for messages to people."""
    return self.where or f'the prompt {self.text[:40]!r}'


class Response(str):
  """A text that a policy wrote, with what the text alone does not say.

  Wherever responses are texts it is one, equal to the plain text; a plain text
  counts as one that ended. What is cut out of it or put together is plain.

  Attributes:
    ended: False where the token limit cut it, so that nobody closes it.
    ids: its tokens, the one that closed it included, where encoding the text
      anew would give others; else None.
  """

  ended: bool
  ids: tuple[int, ...] | None

  def __new__(
    cls, text: str, *, ended: bool = True, ids: Sequence[int] | None = None
  ):
    made = super().__new__(cls, text)
    made.ended, made.ids = bool(ended), None if ids is None else tuple(ids)
    return made

  def __getnewargs_ex__(self):
    return (str(self),), {'ended': self.ended, 'ids': self.ids}

  @classmethod
  def of(cls, text: str) -> 'Response':
    """The text itself where it is a Response, or else one that ended."""
    return text if isinstance(text, cls) else cls(text)


class Demonstration(NamedTuple):
  """A prompt and a response to learn from.

  Attributes:
    prompt: what was asked.
    response: what is imitated.
    weight: how much it counts beside others, 0 or more.
  """

  prompt: Prompt
  response: str
  weight: float = 1.0


class Rated(NamedTuple):
  """A response with ratings of its attributes.

  Attributes:
    prompt: what was asked.
    response: what was said.
    ratings: one an attribute, in the order that whoever reads them knows; None
      where there is none.
  """

  prompt: Prompt
  response: str
  ratings: tuple[float | None, ...]


class Comparison(NamedTuple):
  """Responses to one prompt, best first; a pair is chosen, then rejected.

  Attributes:
    prompt: what was asked.
    responses: K texts, best first.
    margin: how clearly the first is better than the second, in reward units.
    scores: K numbers that ranked them, none larger than the one before, in
      reward units; None where only the order is known.
    target: a response to imitate beside ranking these, or None for the best
      of them.
    weight: how much it counts beside others, 0 or more.
  """

  prompt: Prompt
  responses: tuple[str, ...]
  margin: float = 0.0
  scores: tuple[float, ...] | None = None
  target: str | None = None
  weight: float = 1.0


class Sampled(NamedTuple):
  """A policy's responses to one prompt, in the order they were drawn.

  Attributes:
    prompt: what was asked.
    responses: K texts, equal ones as often as they were drawn.
    ended: K bools, False where the token limit cut the response.
    lengths: K tokens, end-of-text included.
    logps: K log-probs under the policy that sampled, at its temperature, nats.
    scores: K by the reward that the policy learnt from, in reward units, NaN
      of a response that it could not score; None where none was asked.
  """

  prompt: Prompt
  responses: tuple[str, ...]
  ended: tuple[bool, ...]
  lengths: tuple[int, ...]
  logps: tuple[float, ...]
  scores: tuple[float, ...] | None = None

  def response(self, place: int) -> Response:
    """One of the responses, which knows whether it ended."""
    said = Response.of(self.responses[place])
    return Response(said, ended=self.ended[place], ids=said.ids)


Record = Prompt | Demonstration | Comparison | Rated | Sampled


def prompt_of(record: Record) -> Prompt:
  """What a record asks."""
  return record if isinstance(record, Prompt) else record.prompt


def responses_of(record: Record) -> tuple[str, ...]:
  """The responses that a record has: none, one, or K."""
  match record:
    case Demonstration(_, response) | Rated(_, response):
      return (response,)
    case Comparison(_, responses) | Sampled(_, responses):
      return responses
  return ()


# Scores [N] of N prompts and their responses, as text, higher is better: a
# program that checks an answer, the sandbox's gold, a judge.
Reward = Callable[[Sequence[Prompt], Sequence[str]], np.ndarray]
