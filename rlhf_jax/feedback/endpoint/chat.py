"""A model behind an OpenAI-compatible chat endpoint, and asking it."""

import collections
import dataclasses
import functools
import json
import os
import random
import threading
from collections.abc import Mapping, Sequence

from rlhf_jax import processes
from rlhf_jax.addressing import hashed
from rlhf_jax.feedback.endpoint import (
  answers,
  cache,
  keys,
  post,
  settings,
  threads,
)
from rlhf_jax.feedback.endpoint.answers import Answer
from rlhf_jax.types import Message

LONGEST_PAUSE = 60.0  # Seconds.
TOP_LOGPROBS = 5  # As AlpacaEval asks for.
MOST_REFUSED = 5  # Questions, before any was answered.
_PATH = '/chat/completions'
_BAD = (400, 413, 422)  # It is not taken as it is: too long, or not allowed.


class NobodyThereError(ConnectionError):
  """Nothing listens where an endpoint should be: names the URL.

  Attributes:
    says_all: to people, whatever was asked; `feedback.scoring` adds who asked,
      and not on what.
  """

  says_all = True


@dataclasses.dataclass(frozen=True)
class _Server:
  """What holds for all questions to one model of a server, at a temperature.

  Attributes:
    pace: of requests, to all models of the server.
    answers: set once it answered a question: another one's refusal is its own.
    refused: addresses of the questions that it refused, while it answered none.
    gives_none: set once it refused log-probs, and replied without them.
  """

  pace: threads.Pace
  answers: threading.Event = dataclasses.field(default_factory=threading.Event)
  refused: set[str] = dataclasses.field(default_factory=set)
  gives_none: threading.Event = dataclasses.field(
    default_factory=threading.Event
  )


@dataclasses.dataclass(frozen=True)
class Chat:
  """A model behind an endpoint, and how it is asked.

  Redirects are not followed and the environment's proxies are not used: the key
  goes to the host of `base_url` alone. An error quotes the server only if no
  key was sent, since the answer might hold the key; else it gives the status
  and the server's error code.

  Attributes:
    base_url: the URL, as http://localhost:8000/v1; with a / or with
      /chat/completions at its end it is the same.
    model: its name there.
    key_variable: the environment variable with the key; None where none is
      needed. The key itself is kept nowhere.
    temperature: of sampling; 0 is the likeliest reply.
    max_tokens: the longest reply.
    timeout: seconds that a request may take, from its start to its last byte.
    retries: how often a request that failed is made again.
    pause: seconds before the first retry, about; doubled each time, and at
      least as long as the server asks for. If it asks for more than a minute,
      the request has failed.
    concurrency: most requests under way at a time.
    per_minute: most requests made in a minute, one after the other at equal
      distances; None for no such limit.
    cache: a file of JSON lines that keeps replies as they come, or None. The
      same question to the same model with the same settings is not asked again,
      nor one that was refused.
    max_bytes: the largest answer of the server, headers included.
  """

  base_url: str
  model: str
  key_variable: str | None = None
  temperature: float = 0.0
  max_tokens: int = 256
  timeout: float = 60.0
  retries: int = 5
  pause: float = 1.0
  concurrency: int = 8
  per_minute: float | None = None
  cache: str | os.PathLike | None = None
  max_bytes: int = 16 * 2**20

  def check(self) -> None:
    """Refuses settings that cannot be; called by whatever takes a Chat.

    Raises:
      ValueError: naming the attribute.
    """
    settings.check(self)

  def check_key(self) -> None:
    """Refuses a variable that should hold the key, and holds none.

    Raises:
      ValueError: naming it.
    """
    self._key()

  @property
  def name(self) -> str:
    return self.model

  def replying(self, max_tokens: int) -> 'Chat':
    """The same with another longest reply.

    `concurrency` and `per_minute` hold for both of them together.
    """
    return self._beside(max_tokens=max_tokens)

  def by(self, model: str, temperature: float) -> 'Chat':
    """Another model behind the same endpoint, at a temperature of its own.

    `concurrency` and `per_minute` hold for both of them together.
    """
    return self._beside(model=model, temperature=temperature)

  def answers(
    self,
    conversations: Sequence[Sequence[Message]],
    *,
    options: Sequence[str] = (),
  ) -> list[Answer]:
    """The model's replies, [N], to N conversations; equal ones are asked once.

    A single question that is refused (400, 413, 422: its content, its length)
    has an answer that says why. An error lets the requests under way end, and
    keeps what was said; Ctrl-C ends it at once and abandons them.

    Args:
      conversations: N.
      options: short texts with which a reply may begin, where their log-probs
        are asked for; a server may give none, or refuse to, and is then asked
        without.

    Raises:
      NobodyThereError: nothing listens at the URL, however often it is asked.
      ConnectionError: the endpoint refuses, or gives no reply in all attempts;
        or refuses the first MOST_REFUSED questions, of this call and those
        before, and none was ever answered, nor was one of those under way then.
      ValueError: an attribute cannot be, the variable with the key is not set
        or holds none, or the cache cannot be used.
    """
    self.check()
    # Of several processes one asks.
    return processes.by_first(lambda: self._answers(conversations, options))

  def _answers(self, conversations, options):
    bodies = [self._body(asked, options) for asked in conversations]
    addresses = [self._address(body) for body in bodies]
    kept = cache.Replies(self.cache)
    waiting = {
      address: body
      for address, body in zip(addresses, bodies, strict=True)
      if address not in kept
    }
    if waiting:
      if any(kept[a].refusal is None for a in addresses if a in kept):
        self._server.answers.set()
      self._ask_all(waiting, kept)
    return [kept[address] for address in addresses]

  def _ask_all(self, waiting, kept):
    """Asks {address: body} and adds what is said to the replies that are kept.

    Raises:
      ConnectionError, ValueError: as of `answers`.
    """
    key, refused = self._key(), {}
    server = self._server  # Made here, once: threads might make one each.
    if kept.any_by(self._settings):
      server.answers.set()

    def none_answered():
      return len(server.refused) >= MOST_REFUSED and not server.answers.is_set()

    def ask(item, stopped):
      address, body = item
      said = self._ask(key, body, stopped)
      if isinstance(said, Answer) and said.refusal is None:
        kept.add(address, said, self._settings)  # Whatever ends the others.
        server.answers.set()
      elif isinstance(said, Answer):
        refused[address] = said
        server.refused.add(address)
      return said

    try:
      while left := [x for x in waiting if x not in kept and x not in refused]:
        items = [(address, (address, waiting[address])) for address in left]
        with threads.in_threads(ask, items, self.concurrency) as asked:
          for _ in asked:
            if none_answered():
              break  # Those under way end, and may be answered.
        if none_answered():
          why = next(iter(refused.values())).refusal
          raise ConnectionError(
            f'{self.url} refuses with {why}; so it did the first '
            f'{MOST_REFUSED} questions'
          )
    except BaseException:
      if not server.answers.is_set():
        refused.clear()  # All may be wrongly asked.
      raise
    finally:
      for address, said in list(refused.items()):
        kept.add(address, said, self._settings)

  def kept(
    self,
    conversations: Sequence[Sequence[Message]],
    *,
    options: Sequence[str] = (),
  ) -> list[Answer | None]:
    """What is kept of N conversations, None of each without; asks nothing.

    Raises:
      ValueError: an attribute cannot be, or the cache cannot be used.
    """
    self.check()
    replies = cache.Replies(self.cache)
    addresses = [self._address(self._body(x, options)) for x in conversations]
    return [replies.get(address) for address in addresses]

  def unanswered(
    self,
    conversations: Sequence[Sequence[Message]],
    *,
    options: Sequence[str] = (),
  ) -> list[Sequence[Message]]:
    """Those that `answers` would have to ask about: not kept, each once.

    Raises:
      ValueError: as of `answers`, of the key as well.
    """
    self.check()
    self._key()
    kept = cache.Replies(self.cache)
    found = {
      self._address(self._body(asked, options)): asked
      for asked in conversations
    }
    return [asked for address, asked in found.items() if address not in kept]

  @property
  def root(self) -> str:
    """The URL without /chat/completions, however `base_url` has it."""
    return self.base_url.rstrip('/').removesuffix(_PATH).rstrip('/')

  @property
  def url(self) -> str:
    return self.root + _PATH

  def _key(self) -> keys.Key | None:
    if self.key_variable is None:
      return None
    return keys.from_environment(self.key_variable, self.base_url)

  def _beside(self, **settings) -> 'Chat':
    other = dataclasses.replace(self, **settings)
    vars(other)['_servers'] = self._servers
    return other

  @property
  def _server(self) -> _Server:
    return self._servers[self.model, self.temperature]

  @functools.cached_property
  def _servers(self) -> Mapping[tuple[str, float], _Server]:
    """By the model's name and temperature: of it and those beside it."""
    pace = threads.Pace(self.per_minute, self.concurrency)
    return collections.defaultdict(lambda: _Server(pace))

  def _address(self, body) -> str:
    return hashed(json.dumps([self.root, body]))

  def _body(self, conversation, options) -> dict:
    asked = {'logprobs': True, 'top_logprobs': TOP_LOGPROBS} if options else {}
    return {
      'model': self.model,
      'messages': [message._asdict() for message in conversation],
      'temperature': self.temperature,
      'max_tokens': self.max_tokens,
    } | asked

  @property
  def _settings(self) -> str:
    """Changes when anything that is sent does, but for the conversation."""
    return self._address(self._body((), ()))[:16]

  def _ask(self, key, body, stopped) -> Answer | ConnectionError:
    """One reply, without log-probs where the server refuses to give them."""
    plain = {k: v for k, v in body.items() if 'logprobs' not in k}
    if plain == body or self._server.gives_none.is_set():
      return self._attempt(key, plain, stopped)
    said = self._attempt(key, body, stopped)
    if isinstance(said, Exception) or said.refusal is None:
      return said
    again = self._attempt(key, plain, stopped)
    if isinstance(again, Answer) and again.refusal is None:
      self._server.gives_none.set()
    return again

  def _attempt(self, key, body, stopped) -> Answer | ConnectionError:
    """One reply, in as many attempts as it takes and is allowed."""
    body = json.dumps(body).encode()
    for attempt in range(self.retries + 1):
      with self._server.pace.turn(stopped) as mine:
        if not mine:
          return ConnectionError(f'{self.url} is not asked any more')
        answer = post.post(
          self.url, body, key, timeout=self.timeout, max_bytes=self.max_bytes
        )
      asked_to_wait, status = 0.0, None
      if isinstance(answer, post.Reply):
        status = answer.status
        asked_to_wait = answers.seconds(answer.headers.get('Retry-After'))
        answer = answers.read(answer, key)
      if isinstance(answer, Answer):
        return answer
      if answer.lasting:
        if status in _BAD:
          return Answer('', refusal=answer.why.removeprefix(answers.REFUSES))
        return ConnectionError(f'{self.url} {answer.why}')
      if asked_to_wait > LONGEST_PAUSE:
        return ConnectionError(
          f'{self.url} fails with {answer.why}, and asks to wait longer than '
          f'{LONGEST_PAUSE:.0f} s'
        )
      if attempt < self.retries:
        pause = min(self.pause * 2.0 ** min(attempt, 60), LONGEST_PAUSE)
        pause = max(asked_to_wait, pause * random.uniform(0.5, 1.5))
        if not threads.wait(stopped, pause):
          break
    tries = f'{self.retries + 1} attempts' if self.retries else '1 attempt'
    if answer.absent:
      return NobodyThereError(
        f'nothing answers at {self.url} in {tries} ({answer.why}); start what '
        'should, or mend base_url'
      )
    tried = f'{tries}{"; the last one" if self.retries else ", which"}'
    return ConnectionError(
      f'{self.url} gave no reply in {tried} ended with {answer.why}'
    )
