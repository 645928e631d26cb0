"""A cache of an endpoint's replies, in memory and in a file."""

import contextlib
import json
import os
import pathlib
import threading
from collections.abc import Mapping
from typing import Any

from rlhf_jax.feedback.endpoint.answers import Answer


class Replies:
  """Replies by the address of the question, also kept in a file, if any.

  Args:
    path: a file of JSON lines, or None. A line that a crash cut short, or of
      another kind, is left out.

  Raises:
    ValueError: the file cannot be read, or not be added to.
  """

  def __init__(self, path: str | os.PathLike | None):
    self._path = None if path is None else pathlib.Path(path)
    self._kept: dict[str, Answer] = {}
    self._answering: set[str] = set()  # Settings with which there are replies.
    self._lock = threading.Lock()
    if self._path is not None:
      with self._naming():
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open('ab'):
          pass  # Fails now rather than after the first reply.
        self._read()

  def __contains__(self, address: str) -> bool:
    return address in self._kept

  def __getitem__(self, address: str) -> Answer:
    return self._kept[address]

  def get(self, address: str) -> Answer | None:
    return self._kept.get(address)

  def any_by(self, settings: str) -> bool:
    """Whether there is a reply, not a refusal, to any question asked so."""
    return settings in self._answering

  def add(self, address: str, reply: Answer, settings: str = '') -> None:
    """Remembers a reply, and adds it to the file; several threads may.

    Args:
      address: of the question.
      reply: to it.
      settings: with which it was asked, or their hash.
    """
    self._remember(address, reply, settings)
    if self._path is None:
      return
    row = {'address': address, 'settings': settings, 'reply': reply.text}
    if reply.logprobs is not None:
      row['logprobs'] = dict(reply.logprobs)
    if reply.refusal is not None:
      row['refusal'] = reply.refusal
    line = json.dumps(row)
    # Breaks first: half a line spoils no other.
    with self._lock, self._naming(), self._path.open('ab') as file:
      file.write(b'\n' + line.encode())

  def _remember(self, address, reply, settings):
    self._kept[address] = reply
    if reply.refusal is None:
      self._answering.add(settings)

  def _read(self):
    for line in self._path.read_bytes().splitlines():
      with contextlib.suppress(
        ValueError, LookupError, TypeError, AttributeError, RecursionError
      ):
        kept = json.loads(line)
        text, logprobs = kept['reply'], kept.get('logprobs')
        refusal, settings = kept.get('refusal'), kept.get('settings')
        texts = (text, refusal or '', settings or '')
        if all(isinstance(x, str) for x in texts) and _whole(logprobs):
          answer = Answer(text, logprobs, refusal)
          self._remember(kept['address'], answer, settings)

  @contextlib.contextmanager
  def _naming(self):
    try:
      yield
    except OSError as e:
      raise ValueError(
        f'the cache {self._path} cannot be used: {e.strerror}; name another '
        'file, or free this one'
      ) from e


def _whole(logprobs: Any) -> bool:
  """Whether they are log-probs by token, or none."""
  return logprobs is None or (
    isinstance(logprobs, Mapping)
    and all(isinstance(x, int | float) for x in logprobs.values())
  )
