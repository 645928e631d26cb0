"""Reads a server's answer: the model's reply, or why there is none."""

import contextlib
import datetime
import email.utils
import http
import json
import math
import re
import urllib.parse
from collections.abc import Mapping
from typing import NamedTuple

from rlhf_jax.feedback.endpoint import keys, post

MOST_SHOWN = 400  # Bytes of what a server says.
REFUSES = 'refuses with '
_AGAIN = (408, 409, 429)  # Beside all from 500 on.


class Answer(NamedTuple):
  """What a model replied.

  Attributes:
    text: of the reply; '' where it said nothing.
    logprobs: of the likeliest first tokens, by their text, in nats; or, of a
      model that was offered options, of these. None where they are not known.
    refusal: why this one question has no reply, and `text` is ''; else None.
  """

  text: str
  logprobs: Mapping[str, float] | None = None
  refusal: str | None = None


def read(answer: post.Reply, key: keys.Key | None) -> Answer | post.Failure:
  """What a server replied, or why there is no reply."""
  if answer.status // 100 != 2:
    return _refusal(answer, key)
  try:
    text = _text(answer.content)
  except ValueError:
    return post.Failure('a reply that is no JSON' + _quoted(answer, key))
  if text is None:
    return post.Failure('no message in the reply' + _quoted(answer, key))
  logprobs = _logprobs(answer.content)
  if key is None:
    return Answer(text, logprobs)
  if logprobs is not None:
    logprobs = {key.hide(token): x for token, x in logprobs.items()}
  return Answer(key.hide(text), logprobs)


def _refusal(answer, key) -> post.Failure:
  """Why a server gives no reply, by its status."""
  status = answer.status
  known = status in set(http.HTTPStatus)
  name = f'{status} {http.HTTPStatus(status).phrase}' if known else str(status)
  if status in _AGAIN or status >= 500:
    return post.Failure(name + _quoted(answer, key))
  if status in (401, 403):
    said = ': the key is missing, wrong, or not allowed this; see key_variable'
  elif status // 100 == 3:
    where = _origin(answer.headers.get('Location'), key)
    said = f', a redirect to {where}, and none is followed; mend base_url'
  else:
    said = _quoted(answer, key)
  return post.Failure(f'{REFUSES}{name}{said}', lasting=True)


def _quoted(answer, key) -> str:
  """The server's words if no key was sent; else its error code, or ''."""
  if key is not None:
    code = _code(answer.content)
    return f': {code}' if code and key.hide(code) == code else ''
  said = answer.content[:MOST_SHOWN].decode(errors='replace')
  said = ''.join(c if c.isprintable() else ' ' for c in said)
  said = ' '.join(said.split())
  return f': {said}' if said else ''


def _origin(location: str | None, key) -> str:
  """Scheme and host of a redirect; the rest of it may hold a secret."""
  try:
    parts = urllib.parse.urlsplit(location or '')
    origin = f'{parts.scheme}://{parts.hostname or ""}'
    origin += f':{parts.port}' if parts.port else ''
  except ValueError:
    return 'nowhere'
  if not re.fullmatch(r'[a-z]+://[a-z0-9.:\[\]-]*', origin):
    return 'a path of the same host' if not parts.netloc else 'nowhere'
  return origin if key is None else key.hide(origin)


def seconds(retry_after: str | None) -> float:
  """The seconds that a Retry-After header asks for; 0 without one."""
  text = (retry_after or '').strip()
  if re.fullmatch(r'[0-9]+(?:\.[0-9]+)?', text):
    return float(text)
  try:
    date = email.utils.parsedate_to_datetime(text)
    if date.tzinfo is None:
      date = date.replace(tzinfo=datetime.UTC)
    left = (date - datetime.datetime.now(datetime.UTC)).total_seconds()
  except (ValueError, OverflowError):
    return 0.0
  return max(left, 0.0)


def _text(content: bytes) -> str | None:
  """TEXT of {"choices": [{"message": {"content": TEXT or null}}]}, '' for null.

  None for other JSON.

  Raises:
    ValueError: it is no JSON.
  """
  reply = _json(content)
  try:
    found = reply['choices'][0]['message']['content']
  except (LookupError, TypeError):
    return None
  if found is None:
    return ''
  if not isinstance(found, str):
    return None
  try:
    found.encode()  # JSON can write halves of characters, which text has not.
  except UnicodeEncodeError:
    return None
  return found


def _logprobs(content: bytes) -> dict[str, float] | None:
  """{token: log-prob} of the likeliest first tokens, where a server says it."""
  found = {}
  try:
    first = _json(content)['choices'][0]['logprobs']['content'][0]
    for one in first['top_logprobs']:
      token, logprob = one['token'], float(one['logprob'])
      token.encode()
      if math.isnan(logprob) or logprob > 0.0:
        return None
      found[token] = logprob
  except (LookupError, TypeError, ValueError, AttributeError):
    return None
  return found or None


def _code(content: bytes) -> str | None:
  """The error code in a server's answer, if it is harmless to show."""
  with contextlib.suppress(ValueError, LookupError, TypeError):
    error = _json(content)['error']
    for name in ('code', 'type'):
      if name in error and keys.harmless(error[name]):
        return error[name]
  return None


def _json(content: bytes):
  try:
    return json.loads(content)
  except RecursionError:
    raise ValueError('lists in lists too deep to read') from None
