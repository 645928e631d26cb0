"""What the settings of an endpoint may be."""

import math
import os
import re
import urllib.parse
from typing import Any

from rlhf_jax.feedback.endpoint import keys

DAY = 86400.0
COUNT = (int, 'a whole number of 1 or more', lambda x: x >= 1)
# name: its types, what is allowed in words, and the same as a test.
VALUES = {
  'model': (str, "the model's name", bool),
  'temperature': (
    int | float,
    'a number of 0 or more',
    lambda x: 0 <= x < math.inf,
  ),
  'max_tokens': COUNT,
  'timeout': (
    int | float,
    'seconds, more than 0 and at most a day',
    lambda x: 0 < x <= DAY,
  ),
  'retries': (int, 'a whole number of 0 or more', lambda x: x >= 0),
  'pause': (
    int | float,
    'seconds, 0 or more and at most a day',
    lambda x: 0 <= x <= DAY,
  ),
  'concurrency': COUNT,
  'per_minute': (
    int | float | None,
    'requests a minute, more than 0, or None',
    lambda x: x is None or 0 < x < math.inf,
  ),
  'cache': (
    str | os.PathLike | None,
    'the path of a file, or None',
    lambda x: x is None or os.fspath(x) != '',
  ),
  'max_bytes': COUNT,
}


def check(chat: Any) -> None:
  """Refuses settings of a `Chat` that cannot be.

  Raises:
    ValueError: naming the attribute.
  """
  _check_url(chat.base_url)
  keys.check_variable(chat.key_variable)
  for name, (kinds, words, allowed) in VALUES.items():
    value = getattr(chat, name)
    right = isinstance(value, kinds) and not isinstance(value, bool)
    if not (right and allowed(value)):
      raise ValueError(f'{name} must be {words}, got {value!r}')


def _check_url(url: Any) -> None:
  """Refuses what is no base_url, without quoting what may hold a secret."""
  wanted = 'http:// or https:// and a host, as http://localhost:8000/v1'
  if not isinstance(url, str) or not re.fullmatch(r'[\x21-\x7e]*', url):
    raise ValueError(f'base_url must be {wanted}, in ASCII without blanks')
  if '@' in url or '?' in url or '#' in url:
    raise ValueError(
      'base_url must hold no user, password, query or fragment: a key goes '
      'into an environment variable that key_variable names'
    )
  try:
    parts = urllib.parse.urlsplit(url)
    right = parts.scheme in ('http', 'https') and parts.port != 0
    right = right and bool((parts.hostname or '').encode('idna'))
  except ValueError:  # A port that is no number, a name of no host.
    right = False
  if not right:
    raise ValueError(f'base_url must be {wanted}, got {url!r}')
