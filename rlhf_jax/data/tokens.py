"""Tokenizers: made here from words or texts, or loaded from a folder."""

from collections.abc import Iterable, Sequence

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from rlhf_jax.data.folder import files, load
from rlhf_jax.data.tokenizer import EOS, PAD, Tokenizer, VocabularyError

__all__ = [
  'ASSISTANT',
  'EOS',
  'PAD',
  'SYSTEM',
  'Tokenizer',
  'USER',
  'VocabularyError',
  'files',
  'load',
  'train_bpe',
  'word_level',
]

SYSTEM = '<|system|>'
USER = '<|user|>'
ASSISTANT = '<|assistant|>'


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
