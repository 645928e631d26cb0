"""Tokenizers made from words or texts, or loaded from Hugging Face folders."""

import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

from rlhf_jax.data.tokenizer import (
  EOS,
  PAD,
  Tokenizer,
  VocabularyError,
  flag_special,
  special_ids,
)

SYSTEM = '<|system|>'
USER = '<|user|>'
ASSISTANT = '<|assistant|>'
CONFIGS = (
  'special_tokens_map.json',
  'tokenizer_config.json',
  'added_tokens.json',
  'generation_config.json',
)
TEMPLATES = 'additional_chat_templates'
Json = Mapping[str, Any]


def word_level(words: Sequence[str]) -> Tokenizer:
  """A vocabulary of whole words, separated by spaces; word i has id i.

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
  named = [
    folder / name
    for name in ('tokenizer.json', *CONFIGS, 'chat_template.jinja')
    if (folder / name).is_file()
  ]
  return [*named, *sorted((folder / TEMPLATES).glob('*.jinja'))]


def load(folder: str | pathlib.Path) -> Tokenizer:
  """Reads a Hugging Face tokenizer folder (tokenizer.json and its configs).

  Truncation and padding that were saved with it are switched off. Sampling also
  stops at the ends of text of generation_config.json. Where the folder names no
  padding token, or pads with the end of text, another token pads, a special one
  if there is one: masks say what is real, so that any will do, and the
  vocabulary keeps the size of the model's.

  Raises:
    VocabularyError: a file is damaged, or the files contradict each other.
  """
  folder = pathlib.Path(folder)
  found = {path.relative_to(folder).as_posix(): path for path in files(folder)}
  texts = {name: _text(path) for name, path in found.items()}
  try:
    backend = tokenizers.Tokenizer.from_str(texts['tokenizer.json'])
  except Exception as error:  # The library raises nothing narrower.
    raise VocabularyError(
      f'{folder}/tokenizer.json is no tokenizer ({error}); save it again.'
    ) from error
  backend.no_truncation()
  backend.no_padding()
  configs = {
    name: _object(found[name], texts) for name in CONFIGS if name in found
  }
  # tokenizer_config.json overrides the map.
  config = dict(configs.get('special_tokens_map.json', {}))
  config |= configs.get('tokenizer_config.json', {})
  _add(backend, config, configs.get('added_tokens.json', {}), folder)
  ends = _ends(backend, configs.get('generation_config.json', {}), folder)
  eos = _token(config, 'eos_token', folder) or next(iter(ends), None)
  if not eos:
    raise VocabularyError(
      f'{folder}/tokenizer_config.json names no eos_token; add the token that '
      'ends a response.'
    )
  # Otherwise a text could spell the end of a response.
  flag_special(backend, (eos, *ends))
  pad = _padding(backend, eos, _token(config, 'pad_token', folder))
  return Tokenizer(
    backend,
    eos,
    pad,
    _chat_template(config.pop('chat_template', None), texts, folder),
    {k: v for k, v in config.items() if k not in ('eos_token', 'pad_token')},
    tuple(name for name in ends if name != eos),
  )


def _text(path: pathlib.Path) -> str:
  try:
    return path.read_text('utf-8')
  except (OSError, UnicodeDecodeError) as error:
    raise VocabularyError(
      f'{path} cannot be read ({error}); copy it again.'
    ) from error


def _object(path: pathlib.Path, texts: Mapping[str, str]) -> Json:
  """The object that a JSON file holds."""
  try:
    found = json.loads(texts[path.name])
  except ValueError as error:
    raise VocabularyError(
      f'{path} is no JSON ({error}); copy it again.'
    ) from error
  if not isinstance(found, dict):
    raise VocabularyError(f'{path} must hold an object; copy it again.')
  return found


def _token(config: Json, field: str, folder: pathlib.Path) -> str | None:
  """A token that a config names, as a text or as an object; None without."""
  entry = config.get(field)
  name = entry.get('content') if isinstance(entry, Mapping) else entry
  if name is not None and not isinstance(name, str):
    raise VocabularyError(
      f'{folder}/tokenizer_config.json: {field} must be the name of a token, '
      f'not {entry!r}.'
    )
  return name or None


def _add(
  backend: tokenizers.Tokenizer, config: Json, added: Json, folder: pathlib.Path
) -> None:
  """Adds the tokens that only the configs have, under their ids."""
  for number, token in _declared(config, added, folder):
    present = backend.get_added_tokens_decoder().get(number)
    if present is not None and present.content == token.content:
      if token.special and not present.special:
        backend.add_special_tokens([token])
      continue
    backend.add_tokens([token])
    if backend.token_to_id(token.content) != number:
      raise VocabularyError(
        f'{folder}: the config gives {token.content!r} the id {number}, and in '
        f'tokenizer.json it would have {backend.token_to_id(token.content)}; '
        "save the folder again with transformers' save_pretrained."
      )


def _declared(
  config: Json, added: Json, folder: pathlib.Path
) -> Iterator[tuple[int, AddedToken]]:
  """(id, token) of added_tokens_decoder and added_tokens.json, by id."""
  flags = ('single_word', 'lstrip', 'rstrip', 'normalized', 'special')
  try:
    entries = {
      int(i): t for i, t in (config.get('added_tokens_decoder') or {}).items()
    }
    for name, i in added.items():
      entries.setdefault(int(i), {'content': name, 'normalized': False})
    for i, entry in sorted(entries.items()):
      given = {flag: bool(entry[flag]) for flag in flags if flag in entry}
      yield i, AddedToken(entry['content'], **given)
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise VocabularyError(
      f'{folder}/tokenizer_config.json: added_tokens_decoder must map ids to '
      "tokens with a 'content'; save the tokenizer again."
    ) from error


def _ends(
  backend: tokenizers.Tokenizer, generation: Json, folder: pathlib.Path
) -> list[str]:
  """Tokens that generation_config.json ends a text with."""
  given = generation.get('eos_token_id')
  ids = given if isinstance(given, list) else [] if given is None else [given]
  names = []
  for i in ids:
    known = isinstance(i, int) and not isinstance(i, bool) and i >= 0
    name = backend.id_to_token(i) if known else None
    if name is None:
      raise VocabularyError(
        f'{folder}/generation_config.json: eos_token_id {i!r} is no token of '
        'tokenizer.json; take the two files from one model.'
      )
    names.append(name)
  return names


def _chat_template(
  given: Any, texts: Mapping[str, str], folder: pathlib.Path
) -> str:
  """The default one of a folder's chat templates, or '' where it has none."""
  where = f'{folder}/tokenizer_config.json: chat_template'
  try:
    if isinstance(given, list):
      given = {entry['name']: entry['template'] for entry in given}
  except (KeyError, TypeError) as error:
    raise VocabularyError(
      f"{where} must be a text, or a list of objects with 'name' and "
      "'template'."
    ) from error
  named = given if isinstance(given, Mapping) else {'default': given or ''}
  named = dict(named)
  for name, text in texts.items():
    if name.startswith(f'{TEMPLATES}/'):
      named[pathlib.Path(name).stem] = text
  if 'chat_template.jinja' in texts:
    named['default'] = texts['chat_template.jinja']
  if not named or named == {'default': ''}:
    return ''
  if not named.get('default'):
    others = ', '.join(sorted(map(repr, {*named} - {'default'})))
    raise VocabularyError(
      f"{folder} has chat templates {others} and none called 'default'; write "
      'the one that you want into chat_template.jinja.'
    )
  if not isinstance(named['default'], str):
    raise VocabularyError(f'{where} must be a text.')
  return named['default']


def _padding(backend: tokenizers.Tokenizer, eos: str, pad: str | None) -> str:
  for name in [pad, *special_ids(backend)]:
    if name and name != eos and backend.token_to_id(name) is not None:
      return name
  ordinary = (backend.id_to_token(i) for i in range(backend.get_vocab_size()))
  return next(name for name in ordinary if name not in (None, eos))
