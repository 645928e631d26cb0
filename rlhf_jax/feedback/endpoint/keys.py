"""The key of an endpoint: read from the environment, and never shown."""

import base64
import os
import re
import urllib.parse

WINDOW = 8  # Characters of a key in a row that give it away.
HIDDEN = '[key]'
_CODE = re.compile(r'[a-z]{1,40}(?:_[a-z]{1,40}){1,6}')


class Key:
  """A key that no message, log or traceback shows: its repr says nothing."""

  def __init__(self, text: str):
    self._text = text
    self._windows = frozenset(
      _lower(form[first : first + WINDOW])
      for form in _forms(text)
      for first in range(len(form) - WINDOW + 1)
    )

  def __repr__(self) -> str:
    return HIDDEN

  @property
  def authorization(self) -> str:
    """What the header of that name holds."""
    return f'Bearer {self._text}'

  def hide(self, text: str) -> str:
    """The text, with [key] wherever it holds a part of the key.

    As it is, backwards, or as URLs, hexadecimal and base64 write it, in any
    case. A key of less than 8 characters is a placeholder, as local servers
    take, and no secret.
    """
    lower = _lower(text)
    covered = {
      place
      for first in range(len(text))
      if lower[first : first + WINDOW] in self._windows
      for place in range(first, first + WINDOW)
    }
    return ''.join(
      c if i not in covered else '' if i - 1 in covered else HIDDEN
      for i, c in enumerate(text)
    )


def check_variable(variable: object) -> None:
  """Refuses what names no environment variable; it may be a key by mistake.

  Raises:
    ValueError: without what was given.
  """
  named = isinstance(variable, str) and re.fullmatch(r'\w+', variable)
  if variable is not None and not named:
    raise ValueError(
      'key_variable must be the name of an environment variable, as '
      'OPENAI_API_KEY, or None; the key itself goes into that variable'
    )


def from_environment(variable: str, needed_by: str) -> Key:
  """The key that an environment variable holds, blanks around it left out.

  Raises:
    ValueError: it is not set, or no key: it names the variable, not the key.
  """
  # Small letters may be those of a key that was given in place of a name.
  capitals = re.fullmatch(r'[A-Z0-9_]+', variable)
  named = variable if capitals else 'that key_variable names'
  text = os.environ.get(variable, '').strip(' \t')
  if not text:
    needs = f'{needed_by} needs a key, and the environment variable'
    raise ValueError(f'{needs} {named} is not set')
  if not re.fullmatch(r'[\x21-\x7e]+', text):
    raise ValueError(
      f'the environment variable {named} holds no key: a key has letters, '
      'digits and signs of ASCII alone, no blank and no line end'
    )
  return Key(text)


def harmless(code: object) -> str | None:
  """A server's code for an error, as model_not_found; None for other text.

  Nothing else that a server says is shown once a key was sent, as it may hold
  the key in any disguise.
  """
  return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def _forms(key: str) -> list[str]:
  """The key in the encodings in which servers may repeat it."""
  data = key.encode()
  forms = [key, key[::-1], urllib.parse.quote(key, safe=''), data.hex()]
  for before in range(3):  # base64 depends on where in a text the key stands.
    coded = base64.b64encode(b' ' * before + data).decode().rstrip('=')
    inner = coded[-(-before * 4 // 3) : -1]
    forms += [inner, inner.replace('+', '-').replace('/', '_')]
  return forms


def _lower(text: str) -> str:
  return ''.join(c.lower() if c.isascii() else c for c in text)
