"""Text to ids and back, with special tokens that no text can forge."""

import dataclasses
import functools
import json
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from rlhf_jax.data import names

PAD = '<|pad|>'
EOS = '<|eos|>'
SYSTEM = '<|system|>'
USER = '<|user|>'
ASSISTANT = '<|assistant|>'


class VocabularyError(ValueError):
  """A tokenizer that cannot do what it is asked."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tokenizer:
  """A tokenizer of the `tokenizers` library that keeps roles out of text.

  Attributes:
    backend: the tokenizer itself; what it adds around a text is never used.
    eos: the token that ends a response.
    pad: the token that fills a row. Nothing is ever decided by looking for it.
    chat_template: Jinja text saved beside it, or ''.
    extra: what else a Hugging Face folder said of it, kept for `save`.
  """

  backend: tokenizers.Tokenizer
  eos: str = EOS
  pad: str = PAD
  chat_template: str = ''
  extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

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
    self.id_of(self.pad)  # It must exist too.
    # Without this the library reads '<|user|>' in a text as the role token.
    self.backend.encode_special_tokens = True

  @functools.cached_property
  def special_ids(self) -> dict[str, int]:
    """Ids of the tokens that stand for no text, by name."""
    return _special(self.backend)

  @functools.cached_property
  def _special_pattern(self) -> re.Pattern[str]:
    longest_first = sorted(self.special_ids, key=len, reverse=True)
    return re.compile(f'({"|".join(map(re.escape, longest_first))})')

  @functools.cached_property
  def vocab_size(self) -> int:
    """One more than the largest id: the rows an embedding needs."""
    return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

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
    """Ids of a text, none of them special whatever the text says."""
    if not text:
      return []
    try:
      encoding = self.backend.encode(text, add_special_tokens=False)
    except Exception as error:  # The library raises nothing narrower.
      raise VocabularyError(self._unknown(text)) from error
    special = set(self.special_ids.values())
    if special.isdisjoint(encoding.ids):
      return encoding.ids
    for i, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True):
      if i in special and stop - start > 1:
        # Some vocabularies hold '</s>' as an ordinary piece too. Cut within it:
        # neither half can spell it.
        return self.encode(text[: start + 1]) + self.encode(text[start + 1 :])
    # What remains is a single character that the vocabulary does not know.
    return [i for i in encoding.ids if i not in special]

  def encode_markers(self, text: str) -> list[int]:
    """Ids of a text of ours, in which names of special tokens are tokens."""
    ids = []
    for part in self._special_pattern.split(text):
      special = self.special_ids.get(part)
      ids += self.encode(part) if special is None else [special]
    return ids

  def decode(self, ids: Sequence[int]) -> str:
    """The text of ids, special tokens left out."""
    return self.backend.decode([int(i) for i in ids], skip_special_tokens=True)

  def _unknown(self, text: str) -> str:
    known = self.backend.get_vocab(with_added_tokens=False)
    missing = [word for word in text.split() if word not in known]
    return (
      f'{", ".join(map(repr, missing[:3]))} in {text[:80]!r} is no word of '
      f'this vocabulary of {len(known)} words'
    ) + names.nearest((missing or [''])[0], known)

  def save(self, folder: str | pathlib.Path) -> None:
    """Writes a Hugging Face folder, for `load` or for AutoTokenizer."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    self.backend.save(str(folder / 'tokenizer.json'))
    config = {
      'tokenizer_class': 'PreTrainedTokenizerFast',
      'clean_up_tokenization_spaces': False,
      **self.extra,
      'eos_token': self.eos,
    }
    # A padding token borrowed from the ordinary ones must not become special.
    if self.pad in self.special_ids:
      config['pad_token'] = self.pad
    if self.chat_template:
      config['chat_template'] = self.chat_template
    (folder / 'tokenizer_config.json').write_text(
      json.dumps(config, indent=2, ensure_ascii=False) + '\n', encoding='utf-8'
    )


def word_level(words: Sequence[str]) -> Tokenizer:
  """A vocabulary of whole words, told apart by spaces; word i has id i.

  The ids of padding and of the end of text follow the words'.
  """
  ids = {word: i for i, word in enumerate(words)}
  if len(ids) < len(words):
    twice = sorted({word for word in words if list(words).count(word) > 1})
    raise VocabularyError(f'words are given twice: {", ".join(twice)}.')
  for word in words:
    if word.split() != [word]:
      raise VocabularyError(f'{word!r} is not one word; words hold no spaces.')
  # The token for unknown words is no token: meeting one is an error.
  backend = tokenizers.Tokenizer(models.WordLevel(ids, unk_token='<|unknown|>'))
  backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
  backend.add_special_tokens([PAD, EOS])
  return Tokenizer(backend)


def train_bpe(
  texts: Iterable[str], *, vocab_size: int, chat_template: str = ''
) -> Tokenizer:
  """Byte-level byte-pair encoding learnt from texts; encodes any text exactly.

  Padding, end of text and the roles have ids 0 to 4. The vocabulary is smaller
  than `vocab_size` where the texts have too few pairs to merge.
  """
  special = [PAD, EOS, SYSTEM, USER, ASSISTANT]
  alphabet = pre_tokenizers.ByteLevel.alphabet()
  if vocab_size < len(special) + len(alphabet):
    raise VocabularyError(
      f'vocab_size is {vocab_size}; bytes and special tokens alone are '
      f'{len(special) + len(alphabet)}.'
    )
  backend = tokenizers.Tokenizer(models.BPE())
  backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
  backend.decoder = decoders.ByteLevel()
  backend.train_from_iterator(
    texts,
    trainers.BpeTrainer(
      vocab_size=vocab_size,
      initial_alphabet=alphabet,
      special_tokens=special,
      show_progress=False,
    ),
  )
  return Tokenizer(backend, chat_template=chat_template)


def files(folder: str | pathlib.Path) -> list[pathlib.Path]:
  """The files of a Hugging Face folder that `load` reads."""
  folder = pathlib.Path(folder)
  if not (folder / 'tokenizer.json').is_file():
    raise VocabularyError(
      f'there is no tokenizer.json in {folder}; save the tokenizer there with '
      "transformers' save_pretrained."
    )
  configs = ('special_tokens_map.json', 'tokenizer_config.json')
  return [
    folder / name
    for name in ('tokenizer.json', *configs, 'chat_template.jinja')
    if (folder / name).is_file()
  ]


def load(folder: str | pathlib.Path) -> Tokenizer:
  """Reads a Hugging Face tokenizer folder (tokenizer.json and its config).

  Where the folder names no padding token, or pads with the end of text, another
  special token pads instead, or failing that an ordinary one: masks say what is
  real, so that any will do, and the vocabulary keeps the size of the model's.
  """
  found = {path.name: path.read_text('utf-8') for path in files(folder)}
  try:
    backend = tokenizers.Tokenizer.from_str(found['tokenizer.json'])
  except Exception as error:  # The library raises nothing narrower.
    raise VocabularyError(
      f'{folder}/tokenizer.json is no tokenizer ({error}); save it again.'
    ) from error
  # The config has the last word.
  config = json.loads(found.get('special_tokens_map.json', '{}'))
  config |= json.loads(found.get('tokenizer_config.json', '{}'))
  eos = _token(config.pop('eos_token', None))
  if not eos:
    raise VocabularyError(
      f'{folder}/tokenizer_config.json names no eos_token; add the token that '
      'ends a response.'
    )
  template = config.pop('chat_template', '') or ''
  template = found.get('chat_template.jinja', template)
  if eos not in _special(backend):
    backend.add_special_tokens([eos])  # Or a text could end the response.
  pad = _padding(backend, eos, _token(config.pop('pad_token', None)))
  return Tokenizer(backend, eos, pad, template, config)


def _special(backend: tokenizers.Tokenizer) -> dict[str, int]:
  added = sorted(backend.get_added_tokens_decoder().items())
  return {token.content: i for i, token in added if token.special}


def _token(entry: str | Mapping[str, Any] | None) -> str | None:
  return entry['content'] if isinstance(entry, Mapping) else entry


def _padding(backend: tokenizers.Tokenizer, eos: str, pad: str | None) -> str:
  for name in [pad, *_special(backend)]:
    if name and name != eos and backend.token_to_id(name) is not None:
      return name
  ordinary = (backend.id_to_token(i) for i in range(backend.get_vocab_size()))
  return next(name for name in ordinary if name not in (None, eos))
