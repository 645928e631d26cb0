"""Records of text: prompts, responses, and comparisons of them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Message(NamedTuple):
  """A turn of a conversation."""

  role: str  # 'user', 'assistant' or 'system'.
  content: str


class Prompt(NamedTuple):
  """A prompt: the messages of a conversation, the last one the user's.

  Attributes:
    messages: oldest first.
    kind: results are broken down by it; or ''.
    where: file and line it came from, for errors and notes, or ''.
    condition: text that the response is conditioned on beside the conversation
      (a reward, attributes), or ''. The policy reads it right before its
      response; judges do not see it.
    answer: a program checks responses against it, and a judge may be shown it;
      or ''. No policy sees it.
  """

  messages: tuple[Message, ...]
  kind: str = ''
  where: str = ''
  condition: str = ''
  answer: str = ''

  @property
  def text(self) -> str:
    """The prompt as a person reads it: the one message, or all with roles."""
    if len(self.messages) == 1:
      return self.messages[0].content
    return '\n'.join(f'{m.role}: {m.content}' for m in self.messages)

  @property
  def place(self) -> str:
    """Where it came from, or else how it begins, for errors and notes."""
    return self.where or f'the prompt {self.text[:40]!r}'


class Response(str):
  """A text that a policy wrote, with whether it ended, and its tokens.

  A str equal to the plain text, and usable wherever responses are. A plain str
  counts as one that ended; slices and sums of a Response are plain.

  Attributes:
    ended: False if the token limit cut it, so that no end-of-text follows.
    ids: its tokens, the closing one included, if encoding the text would give
      others; else None.
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

  @property
  def without_ids(self) -> 'Response':
    """The text alone, as whoever reads other ids has it."""
    return Response(str(self), ended=self.ended)


class Demonstration(NamedTuple):
  """A prompt and a response to learn from.

  Attributes:
    prompt: what was asked.
    response: to imitate.
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
    ratings: one an attribute, in the order of the dataset; None where missing.
  """

  prompt: Prompt
  response: str
  ratings: tuple[float | None, ...]


class Comparison(NamedTuple):
  """Responses to one prompt, best first; a pair is chosen, then rejected.

  Attributes:
    prompt: what was asked.
    responses: K texts, best first.
    margin: how much better the first is than the second, in reward units.
    scores: K, not increasing, in reward units; None if only the order is known.
    target: a response to imitate beside the ranking, or None for the best one.
    weight: how much it counts beside others, 0 or more.
    models: K names of who gave the responses; () where one is not known.
  """

  prompt: Prompt
  responses: tuple[str, ...]
  margin: float = 0.0
  scores: tuple[float, ...] | None = None
  target: str | None = None
  weight: float = 1.0
  models: tuple[str, ...] = ()


class Sampled(NamedTuple):
  """A policy's responses to one prompt, in the order they were drawn.

  Attributes:
    prompt: what was asked.
    responses: K texts, equal ones as often as they were drawn.
    ended: K bools, False where the token limit cut the response.
    lengths: K tokens, end-of-text included.
    logps: K log-probs under the policy that sampled, at its temperature, nats.
    scores: K by the reward that the policy learnt from, in reward units, NaN
      of a response without a score; None without a reward.
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


def without_ids(record: Record) -> Record:
  """A record whose responses are texts alone, without their policy's ids."""
  said = [Response.of(text).without_ids for text in responses_of(record)]
  match record:
    case Demonstration() | Rated():
      return record._replace(response=said[0])
    case Comparison(target=target):
      target = target and Response.of(target).without_ids
      return record._replace(responses=tuple(said), target=target)
    case Sampled():
      return record._replace(responses=tuple(said))
  return record


# Scores [N] of N prompts and their responses, as text, higher is better: a
# program that checks an answer, the sandbox's gold, a judge.
Reward = Callable[[Sequence[Prompt], Sequence[str]], np.ndarray]
