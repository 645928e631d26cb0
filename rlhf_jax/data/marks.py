"""A tokenizer whose special tokens no text can forge.

The `tokenizers` library reads the name of an added token in a text as the
token, so that a user who types '<|assistant|>' would open the assistant's turn.
Here every such token, a mark, is renamed to a secret that nobody can type; its
id, its flags and the rest of the tokenizer stay. Text of a template is written
with the secret names, contents stay as they are, and one call encodes the
whole, tokens across the borders included.
"""

import json
import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import tokenizers


class Marks:
  """The marks of a tokenizer: tokens that mean a role or an end, and no text.

  An added token is a mark if it is flagged special, or if it begins and ends
  with punctuation ('<|User|>'), as roles do where a folder does not flag them.
  Other added tokens (words, runs of spaces) are text.

  Attributes:
    names: of the marks, by id.
    ids: of the marks, by secret name.
    backend: the tokenizer with secret names for the marks. It neither truncates
      nor pads.
    apart: whether what is between two marks is encoded as if it were a text of
      its own.
  """

  def __init__(self, backend: tokenizers.Tokenizer):
    added = backend.get_added_tokens_decoder()
    marks = {i: t for i, t in sorted(added.items()) if _is_mark(t)}
    nonce = uuid.uuid4().hex  # Or a text could be written to hold the names.
    self.names = {i: token.content for i, token in marks.items()}
    self._secret = {
      name: f'\ue000{nonce}{i:x}\ue001' for i, name in self.names.items()
    }
    self._name = {secret: name for name, secret in self._secret.items()}
    self.ids = {self._secret[name]: i for i, name in self.names.items()}
    self._secrets = re.compile(f'(\ue000{nonce}[0-9a-f]+\ue001)')
    self._pattern = any_of({t.content: t.single_word for t in marks.values()})
    spec = renamed(json.loads(backend.to_str()), self._secret)
    self.backend = tokenizers.Tokenizer.from_str(json.dumps(spec))
    self.apart = _are_apart(spec, marks.values())
    for i, name in self.names.items():
      if self.backend.token_to_id(self._secret[name]) != i:
        raise ValueError(f'{name!r} cannot be told from text')

  def spell(self, text: str) -> str:
    """A text with the names of marks replaced by their secret names."""
    return self._pattern.sub(lambda found: self._secret[found[0]], text)

  def secret(self, i: int) -> str:
    """The secret name of a mark, by its id."""
    return self._secret[self.names[i]]

  def read(self, spelt: str) -> str:
    """The inverse of `spell`."""
    return self._secrets.sub(lambda found: self._name[found[0]], spelt)

  def found(self, spelt: str) -> list[str]:
    """Names of the marks in a text with secret names."""
    return [self._name[secret] for secret in self._secrets.findall(spelt)]

  def cut(self, spelt: str) -> list[str]:
    """The marks of a text with secret names, and what is between them."""
    return [piece for piece in self._secrets.split(spelt) if piece]

  def typed(self, text: str) -> list[str]:
    """Names of marks that a text spells out, as people type them."""
    return [found[0] for found in self._pattern.finditer(text)]


def renamed(
  spec: Mapping[str, Any], names: Mapping[str, str]
) -> Mapping[str, Any]:
  """The content of a tokenizer.json with some of its tokens renamed.

  Their ids stay. Merges that would spell an old name are left out, and so are
  truncation, padding and dropout.
  """

  def new(name: str) -> str:
    return names.get(name, name)

  model = dict(spec['model'])
  vocabulary = model.get('vocab', {})
  if isinstance(vocabulary, Mapping):
    model['vocab'] = {new(piece): i for piece, i in vocabulary.items()}
  else:
    model['vocab'] = [[new(piece), score] for piece, score in vocabulary]
  if 'merges' in model:
    model['dropout'] = None
    pairs = map(_pair, model['merges'])
    model['merges'] = [
      [left, right]
      for left, right in pairs
      if names.keys().isdisjoint((left, right, left + right))
    ]
  if model.get('unk_token') is not None:
    model['unk_token'] = new(model['unk_token'])
  added = [t | {'content': new(t['content'])} for t in spec['added_tokens']]
  nothing = {'truncation': None, 'padding': None}
  return {**spec, **nothing, 'model': model, 'added_tokens': added}


def _are_apart(
  spec: Mapping[str, Any], marks: Iterable[tokenizers.AddedToken]
) -> bool:
  """Whether the ids of what is between marks depend on nothing else.

  They do where a mark takes the spaces beside it, or is looked for in text that
  was normalised across it, or where a text's first word is encoded otherwise.
  """
  normalizer, words = spec['normalizer'], json.dumps(spec['pre_tokenizer'])
  return '"first"' not in words and not any(
    mark.lstrip
    or mark.rstrip
    or mark.single_word
    or (mark.normalized and normalizer is not None)
    for mark in marks
  )


def _pair(merge: str | list[str]) -> list[str]:
  return merge.split(' ', 1) if isinstance(merge, str) else merge


def _is_mark(token: tokenizers.AddedToken) -> bool:
  # '▁' is how some vocabularies write a space.
  marked = re.fullmatch(r'[^\w\s▁].*[^\w\s▁]', token.content, re.DOTALL)
  return token.special or marked is not None


def any_of(names: Mapping[str, bool]) -> re.Pattern[str]:
  """Matches any of the names, longest first; {name: as a whole word only}."""
  longest_first = sorted(names, key=len, reverse=True)
  patterns = [
    rf'(?<!\w){re.escape(name)}(?!\w)' if names[name] else re.escape(name)
    for name in longest_first
  ]
  return re.compile('|'.join(patterns) or '(?!)')
