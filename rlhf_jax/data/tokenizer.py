"""Text to ids and back, with special tokens that no text can forge."""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tokenizers
from tokenizers import AddedToken, models

from rlhf_jax.addressing import hashed
from rlhf_jax.data import chat_jinja, names
from rlhf_jax.data.marks import Marks
from rlhf_jax.storage.files import make_folder, write_text
from rlhf_jax.types import Message

PAD = '<|pad|>'
EOS = '<|eos|>'


class VocabularyError(ValueError):
  """A tokenizer, or a text for it, that cannot be used."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tokenizer:
  """A tokenizer of the `tokenizers` library, with its special tokens.

  Attributes:
    backend: the tokenizer itself.
    eos: the token that ends a text.
    pad: the token that fills a row. Nothing ever looks for it.
    chat_template: Jinja text saved beside it, or ''.
    extra: the rest of a Hugging Face folder's config, kept for `save`.
    stops: further tokens that sampling stops at.
  """

  backend: tokenizers.Tokenizer
  eos: str = EOS
  pad: str = PAD
  chat_template: str = ''
  extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  stops: tuple[str, ...] = ()

  def __post_init__(self):
    if self.eos == self.pad:
      raise VocabularyError(
        f'{self.eos!r} cannot both end responses and pad rows; give the '
        'tokenizer a padding token of its own.'
      )
    if self.eos not in self.special_ids:
      raise VocabularyError(
        f'{self.eos!r} ends responses and is no special token of the '
        f'tokenizer{names.nearest(self.eos, self.special_ids)}'
      )
    for token in (self.pad, *self.stops):
      self.id_of(token)  # They must exist too.

  @functools.cached_property
  def fingerprint(self) -> str:
    """Changes when ids of a text do, or what a chat template reads."""
    facts = (self.eos, self.pad, self.chat_template, self.named, self.stops)
    return hashed(json.dumps([self.backend.to_str(), *facts]))

  @functools.cached_property
  def special_ids(self) -> dict[str, int]:
    """Ids of the tokens that stand for no text, by name."""
    return special_ids(self.backend)

  @functools.cached_property
  def marks(self) -> Marks:
    """The tokens that no text makes."""
    try:
      return Marks(self.backend)
    except Exception as error:  # The library raises nothing narrower.
      raise VocabularyError(
        f'the special tokens of this tokenizer cannot be kept apart from text '
        f'({error}); save it again with a newer transformers.'
      ) from error

  @functools.cached_property
  def opening(self) -> tuple[int, ...]:
    """The ids that this tokenizer puts before a text: BOS, or nothing."""
    if self.backend.post_processor is None:
      return ()
    encoding = self.marks.backend.encode('a', add_special_tokens=True)
    added = encoding.special_tokens_mask
    return tuple(encoding.ids[: added.index(0) if 0 in added else None])

  @functools.cached_property
  def vocabulary(self) -> dict[str, int]:
    """The id of every token."""
    return self.backend.get_vocab(with_added_tokens=True)

  @functools.cached_property
  def vocab_size(self) -> int:
    """One more than the largest id: the rows an embedding needs."""
    return max(self.vocabulary.values()) + 1

  def absent_ids(self, rows: int) -> tuple[int, ...]:
    """Ids below `rows` that are no token's, in rising order."""
    return tuple(sorted(set(range(rows)).difference(self.vocabulary.values())))

  @property
  def eos_id(self) -> int:
    return self.id_of(self.eos)

  @property
  def pad_id(self) -> int:
    return self.id_of(self.pad)

  def id_of(self, token: str) -> int:
    """The id of a token by its name."""
    found = self.backend.token_to_id(token)
    if found is None:
      raise VocabularyError(
        f'the tokenizer has no token {token!r}'
        + names.nearest(token, self.special_ids)
      )
    return found

  def encode(self, text: str) -> list[int]:
    """Ids of a text, without special tokens whatever the text says."""
    return self.encoding(text).ids

  def encode_all(self, spelt: Sequence[str]) -> list[list[int]]:
    """Ids of many texts, made in one call; marks by their secret names.

    The library raises nothing narrower than an Exception, nor says of which.
    """
    batch = self.marks.backend.encode_batch_fast  # The ids alone.
    return [one.ids for one in batch(spelt, add_special_tokens=False)]

  def encoding(self, spelt: str) -> tokenizers.Encoding:
    """Ids, and where in the text they are; marks by their secret names."""
    try:
      return self.marks.backend.encode(spelt, add_special_tokens=False)
    except Exception as error:  # The library raises nothing narrower.
      raise VocabularyError(self._unknown(self.marks.read(spelt))) from error

  def encode_after(self, spelt: str) -> list[int]:
    """Ids of a text that follows another; marks by their secret names.

    A tokenizer that puts a space before every text puts none here.
    """
    line = self.encode('\n') if self._spaced else []
    ids = self.encoding('\n' + spelt).ids if line else []
    if line and ids[: len(line)] == line:
      return ids[len(line) :]
    return self.encoding(spelt).ids

  def decode(self, ids: Sequence[int]) -> str:
    """The text of a response, special tokens left out.

    A space before its first word is kept unless the tokenizer would put it
    there itself, so that encoding the text after its prompt gives these ids.
    """
    (text,) = self.decode_all([ids])
    return text

  def decode_all(self, responses: Iterable[Sequence[int]]) -> list[str]:
    """The texts of many responses, made in one call; each as `decode` does."""
    guard = self._guard
    texts = self.backend.decode_batch(
      [[*guard, *map(int, ids)] for ids in responses], skip_special_tokens=True
    )
    before = len(self.backend.decode(guard))
    return [text[before:] for text in texts]

  @functools.cached_property
  def named(self) -> dict[str, str]:
    """Tokens that a chat template may read, by name ('bos_token')."""
    named = {}
    for name, entry in self.extra.items():
      token = entry.get('content') if isinstance(entry, Mapping) else entry
      if name.endswith('_token') and isinstance(token, str):
        named[name] = token
    return named | {'eos_token': self.eos, 'pad_token': self.pad}

  @functools.cached_property
  def _spaced(self) -> list[int]:
    """A token that is decoded with a space before it, but not at the start.

    As SentencePiece decodes '▁a'. [] where the tokenizer has no such token.
    """
    pieces = sorted(self.backend.get_vocab(with_added_tokens=False).items())
    # A token of spaces alone would lose more than one.
    piece = [
      i for name, i in pieces if name.startswith('▁') and name.strip('▁')
    ]
    piece = piece[-1:]
    twice = self.backend.decode(piece * 2)
    bare = not self.backend.decode(piece).startswith(' ')
    return piece if bare and ' ' in twice else []

  @functools.cached_property
  def _guard(self) -> list[int]:
    """Ids to decode before a response, so that its first space is kept.

    [] where the tokenizer puts the space there itself, as Llama 2's does right
    after a mark.
    """
    if not self._spaced:
      return []
    before = '\n'
    if self.chat_template:
      source = chat_jinja.JinjaTemplate(
        self.chat_template, (*self.named.items(),)
      )
      before = source.render([Message('user', 'a')], opened=True)
    spelt = self.marks.spell(before)
    encoding = self.encoding(spelt + 'a')
    after = [
      piece
      for piece, (_, end) in zip(encoding.tokens, encoding.offsets, strict=True)
      if end > len(spelt)
    ]
    first = after[0] if after else ''  # A vocabulary may lack this letter.
    own = first.startswith('▁') and not before.endswith(' ')
    return [] if own else self._spaced

  def _unknown(self, text: str) -> str:
    try:
      text.encode()
    except UnicodeEncodeError:
      return f'{text[:80]!r} holds half a character; write it whole.'
    known = self.backend.get_vocab(with_added_tokens=False)
    if not isinstance(self.backend.model, models.WordLevel):
      missing = [
        letter for letter in dict.fromkeys(text) if self._lacks(letter)
      ]
      return (
        f'this vocabulary has no piece for {", ".join(map(repr, missing[:3]))} '
        f'in {text[:80]!r}, and none for its bytes; leave the text out or '
        'write it otherwise'
      )
    missing = [word for word in text.split() if word not in known]
    return (
      f'{", ".join(map(repr, missing[:3]))} in {text[:80]!r} is no word of '
      f'this vocabulary of {len(known)} words'
    ) + names.nearest((missing or [''])[0], known)

  def _lacks(self, letter: str) -> bool:
    try:
      self.marks.backend.encode(letter, add_special_tokens=False)
    except Exception:  # The library raises nothing narrower.
      return True
    return False

  def save(self, folder: str | pathlib.Path) -> None:
    """Writes a Hugging Face folder, for `load` or for AutoTokenizer."""
    folder = pathlib.Path(folder)
    make_folder(folder)
    write_text(folder / 'tokenizer.json', self.backend.to_str(pretty=True))
    config = {
      'tokenizer_class': 'PreTrainedTokenizerFast',
      'clean_up_tokenization_spaces': False,
      # Without it transformers 4 gives segments too, which decoders refuse.
      'model_input_names': ['input_ids', 'attention_mask'],
      **self.extra,
      'eos_token': self.eos,
    }
    # A padding token borrowed from the ordinary ones must not become special.
    if self.pad in self.special_ids:
      config['pad_token'] = self.pad
    if self.chat_template:
      config['chat_template'] = self.chat_template
    _write(folder / 'tokenizer_config.json', config)
    if self.stops:
      ids = [self.id_of(token) for token in (self.eos, *self.stops)]
      _write(folder / 'generation_config.json', {'eos_token_id': ids})


def special_ids(backend: tokenizers.Tokenizer) -> dict[str, int]:
  """Ids of the tokens that are flagged special, by name."""
  added = sorted(backend.get_added_tokens_decoder().items())
  return {token.content: i for i, token in added if token.special}


def flag_special(backend: tokenizers.Tokenizer, names: Iterable[str]) -> None:
  """Makes tokens special that were not flagged so, all else as it was."""
  known = {t.content: t for t in backend.get_added_tokens_decoder().values()}
  for name in names:
    token = known.get(name, AddedToken(name, normalized=False))
    if not token.special:
      token.special = True
      backend.add_special_tokens([token])


def _write(path: pathlib.Path, content: Mapping[str, Any]) -> None:
  text = json.dumps(content, indent=2, ensure_ascii=False)
  write_text(path, text + '\n')
